from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.artifacts import Provenance
from semantic_ids.recommenders import histories as module
from semantic_ids.recommenders.histories import Histories, catalogue_of, content_of
from semantic_ids.recommenders.splits import leave_one_out

ITEMS = 7
users_of = st.lists(
    st.tuples(
        st.lists(st.integers(0, ITEMS - 1), min_size=0, max_size=9),
        st.lists(st.floats(0, 1), min_size=3, max_size=3),
    ),
    max_size=6,
)


def made(drawn: list) -> Histories:
    """Histories with cuts drawn anywhere: of a user the share of the events before each."""
    lengths = np.array([len(events) for events, _ in drawn], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    cuts = [
        sorted(int(start + round(share * len(events))) for share in shares)
        for start, (events, shares) in zip(starts, drawn, strict=False)
    ]
    return Histories(
        [f"u{number}" for number in range(len(drawn))],
        np.array([item for events, _ in drawn for item in events], dtype=np.int32),
        starts,
        np.array(cuts, dtype=np.int64).reshape(-1, 3),
        Provenance("histories"),
    )


@settings(deadline=None)
@given(users_of)
def test_targets_are_what_a_loop_over_users_finds(drawn):
    found = made(drawn)
    expected: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    for user in range(len(found)):
        train_to, valid_from, test_from = found.cuts[user]
        for position in range(found.starts[user], found.starts[user + 1]):
            if position < train_to:
                expected["train"] += [position] if position > found.starts[user] else []
            elif valid_from <= position < test_from:
                expected["valid"].append(position)
            elif position >= test_from:
                expected["test"].append(position)
    for part, positions in expected.items():
        assert found.targets(part).tolist() == positions
        assert found.targets(part).dtype == np.int64


@settings(deadline=None)
@given(users_of, st.integers(1, 12))
def test_what_was_before_an_event_is_what_its_own_user_had(drawn, length):
    found = made(drawn)
    position = 0
    for user, (events, _) in enumerate(drawn):
        for number in range(len(events)):
            (row,) = found.before(np.array([position]), length)
            last = events[max(0, number - length) : number]
            assert row.tolist() == last + [-1] * (length - len(last))
            assert found.user_of(np.array([position])).tolist() == [user]
            position += 1
    together = found.before(np.arange(position), length)
    assert together.shape == (position, length) and together.dtype == np.int64


@settings(deadline=None)
@given(users_of, st.sampled_from([1, 2, 1 << 16]))
def test_items_are_counted_where_they_are_learned_from_alone(drawn, block):
    found = made(drawn)
    expected = [0] * ITEMS
    for user in range(len(found)):
        for position in range(found.starts[user], found.cuts[user, 0]):
            expected[found.items[position]] += 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_USERS", block)
        assert found.training_counts(ITEMS).tolist() == expected


def test_events_of_two_users_may_not_overlap_and_all_belong_to_one():
    items, starts = np.zeros(4, np.int32), np.array([0, 2, 4])
    for cuts in ([[1, 1, 3], [3, 3, 3]], [[2, 1, 2], [3, 3, 3]], [[0, 0, 0], [1, 3, 3]]):
        with pytest.raises(ValueError, match="before those"):
            Histories(["a", "b"], items, starts, np.array(cuts), Provenance("histories"))
    with pytest.raises(ValueError, match="1 users"):
        Histories(["a"], items, starts, leave_one_out(starts), Provenance("histories"))


def test_the_catalogue_is_its_items_in_their_order_whatever_type_their_ids_have():
    assert catalogue_of([3, 1, 2]) == catalogue_of(["3", "1", "2"])
    assert catalogue_of([3, 1, 2]).fingerprint != catalogue_of([3, 2, 1]).fingerprint


def test_the_content_is_of_all_parts():
    starts = np.array([0, 3])
    parts = (["a"], np.arange(3, dtype=np.int32), starts, leave_one_out(starts))
    same = content_of(*parts)
    assert same == content_of(["a"], np.arange(3), starts.astype(np.int32), leave_one_out(starts))
    for other in (
        (["b"], *parts[1:]),
        (["a"], np.array([0, 2, 1], dtype=np.int32), *parts[2:]),
        (*parts[:3], np.array([[2, 2, 2]])),
    ):
        assert content_of(*other) != same
