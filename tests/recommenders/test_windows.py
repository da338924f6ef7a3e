"""Windows of histories: every target once, nothing that was held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.learning.layers import drawing
from semantic_ids.recommenders.splits import leave_one_out
from semantic_ids.recommenders.windows import single_targets, windows_of
from tests.recommenders.cyclic import histories_of

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


def of_lengths(lengths):
    """Histories whose events are numbered through: event j is item j."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return histories_of(np.arange(starts[-1]), starts, leave_one_out(starts))


def seen(windows):
    """What each target of all windows is told: target → the items before it."""
    batch, found = windows.at(np.arange(len(windows))), []
    for inputs, targets in zip(batch.inputs.numpy(), batch.targets.numpy(), strict=True):
        found += [
            (int(target), inputs[: place + 1].tolist())
            for place, target in enumerate(targets)
            if target >= 0
        ]
    return found


def wanted(histories):
    return [
        t
        for begin, end in zip(histories.starts, histories.cuts[:, 0], strict=False)
        for t in range(begin + 1, end)
    ]


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 20), st.data())
def test_every_target_comes_once_with_what_came_before_it(lengths, length, data):
    step = data.draw(st.integers(1, length + 5))
    histories = of_lengths(lengths)
    windows = windows_of(histories, length, step)
    found = seen(windows) if len(windows) else []
    assert sorted(target for target, _ in found) == wanted(histories)
    assert windows.targets == len(found)
    for target, before in found:
        begin = histories.starts[histories.user_of(np.array([target]))[0]]
        assert before == list(range(target - len(before), target)) and len(before) <= length
        assert len(before) >= min(target - begin, max(1, length - step + 1))


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 20))
def test_a_single_target_has_all_that_fits_before_it(lengths, length):
    histories = of_lengths(lengths)
    windows = single_targets(histories, length)
    found = seen(windows) if len(windows) else []
    assert [target for target, _ in found] == wanted(histories)
    for (target, before), position in zip(found, histories.targets("train"), strict=True):
        row = histories.before(np.array([position]), length)[0]
        assert before == row[row >= 0].tolist() and target == position


def test_nothing_that_is_held_out_reaches_a_batch():
    starts = np.array([0, 6, 31, 36])
    cuts = np.array([[4, 4, 5], [20, 25, 28], [34, 34, 35]])  # one of them with mere context
    items = np.zeros(36, np.int64)
    for begin, end in zip(cuts[:, 0], starts[1:], strict=True):
        items[begin:end] = 7
    for windows in (
        windows_of(histories_of(items, starts, cuts), 5, 2),
        single_targets(histories_of(items, starts, cuts), 5),
    ):
        batch = windows.at(np.arange(len(windows)))
        assert not (batch.inputs == 7).any() and not (batch.targets == 7).any()
        assert windows.targets == 3 + 13 + 2


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 9), st.integers(0, 99))
def test_parts_are_the_batch_in_like_lengths(lengths, parts, seed):
    windows = windows_of(of_lengths([length + 3 for length in lengths]), 8, 4)
    rows = np.random.default_rng(seed).permutation(len(windows))[:17]
    whole, found = windows.at(rows), windows.at(rows).in_parts(rows, parts)
    assert 1 <= len(found) <= parts and all(len(at) for at, _ in found)
    assert sorted(np.concatenate([at for at, _ in found])) == sorted(rows)
    for at, part in found:
        again = windows.at(at)
        assert part.inputs.equal(again.inputs) and part.targets.equal(again.targets)
        assert part.inputs.shape[1] == part.lengths.max()
    lengths_in_order = np.concatenate([part.lengths for _, part in found])
    assert (np.diff(lengths_in_order) <= 0).all()
    most = max(part.lengths.sum() for _, part in found)
    assert most <= whole.lengths.sum() / parts + whole.lengths.max()


def test_batches_come_by_position():
    windows = windows_of(of_lengths([9, 4, 30]), 6, 3)
    order = [[np.array([2, 0]), np.array([1])], [np.array([3])]]
    found = list(windows.batches(iter(order)))
    assert [rows.tolist() for rows, _ in found] == [[2, 0], [1], [3]]
    for rows, batch in found:
        assert batch.inputs.equal(windows.at(rows).inputs)


def test_histories_of_one_event_have_no_window():
    assert len(windows_of(of_lengths([1, 2, 3]), 5, 2)) == 0


@pytest.mark.parametrize("length", [20, 200])
def test_there_are_no_more_windows_than_it_takes(length):
    lengths = np.random.default_rng(0).integers(5, 60, 300)
    windows = windows_of(of_lengths(lengths), length, 10)
    assert windows.targets == (lengths - 3).sum()
    assert len(windows) == (1 + np.maximum(0, -(-(lengths - 3 - length) // 10))).sum()


def test_targets_may_be_later_ones_of_their_window():
    """Half of them the next, a quarter the one after it, and so on; at the end the last."""
    windows = windows_of(of_lengths([40] * 400), 20, 10)
    batch = windows.at(np.arange(len(windows)))
    with drawing(3):
        found = batch.ahead(0.5)
    assert found.inputs.equal(batch.inputs) and found.targets.shape == batch.targets.shape
    aimed = batch.targets >= 0
    assert ((found.targets >= 0) == aimed).all()
    steps = (found.targets - batch.targets)[aimed]  # event j is item j
    last = torch.from_numpy(batch.lengths - 1)[:, None]
    room = (last - torch.arange(20))[aimed]
    assert (steps >= 0).all() and (steps <= room).all()
    for ahead in range(3):
        share = (steps[room > 4] == ahead).float().mean().item()
        assert share == pytest.approx(0.5 ** (ahead + 1), abs=0.02)
    with drawing(3):
        assert batch.ahead(0.5).targets.equal(found.targets)
    assert batch.ahead(1e-9).targets.equal(batch.targets)
