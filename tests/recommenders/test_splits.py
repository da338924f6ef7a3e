from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.artifacts import Provenance
from semantic_ids.recommenders import splits
from semantic_ids.recommenders.histories import Histories

timed = st.lists(st.lists(st.integers(0, 20), max_size=8).map(sorted), min_size=1, max_size=6)


def made(lengths: list[int], cuts: np.ndarray) -> Histories:
    starts = starts_of(lengths)
    items = np.zeros(int(starts[-1]), np.int32)
    return Histories([str(n) for n in range(len(lengths))], items, starts, cuts, Provenance("h"))


def starts_of(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


@pytest.mark.parametrize(
    ("length", "train", "valid", "test"),
    [
        (5, [0, 1, 2], [3], [4]),
        (3, [0], [1], [2]),
        (2, [0], [], [1]),
        (1, [0], [], []),
        (0, [], [], []),
    ],
)
def test_leave_one_out_takes_the_last_two(length, train, valid, test):
    found = made([length], splits.leave_one_out(starts_of([length])))
    assert list(range(found.cuts[0, 0])) == train
    assert found.targets("valid").tolist() == valid and found.targets("test").tolist() == test


@settings(deadline=None)
@given(timed, st.integers(0, 21), st.integers(0, 21))
def test_a_split_by_time_is_the_same_instant_for_all(drawn, first, second):
    valid_from, test_from = sorted((first, second))
    lengths = [len(times) for times in drawn]
    times = np.array([time for user in drawn for time in user], np.int64)
    found = made(lengths, splits.by_time(starts_of(lengths), times, valid_from, test_from))
    expected: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for user, begin in zip(drawn, starts_of(lengths).tolist(), strict=False):
        for number, time in enumerate(user[1:], 1):
            part = "train" if time < valid_from else "valid" if time < test_from else "test"
            expected[part].append(begin + number)
    for part, positions in expected.items():
        assert found.targets(part).tolist() == positions


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
)
def test_shares_of_events_are_the_instants_at_their_ranks(times, valid_share, test_share):
    found = splits.instants(np.array(times), valid_share, test_share)
    ranked, n = sorted(times), len(times)
    at = [round(n * (1 - test_share - valid_share)), round(n * (1 - test_share))]
    assert found == tuple(ranked[max(0, min(n - 1, rank))] for rank in at)
    assert found == splits.instants(np.array(times[::-1]), valid_share, test_share)


def test_what_nothing_precedes_is_context_alone():
    starts = starts_of([3, 2, 1, 2])
    cuts = np.array([[1, 2], [3, 3], [5, 5], [8, 8]])
    found = made([3, 2, 1, 2], splits.given(starts, cuts))
    assert found.targets("train").tolist() == [7]
    assert found.targets("valid").tolist() == [1]
    assert found.targets("test").tolist() == [2, 4]
