"""Which epoch is kept, against brute force over whole histories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semantic_ids.learning.selection import Candidate, Selection


def history(seed: int, epochs: int = 25):
    """Scores and constraints of epochs, of few different values, so that there are ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 8, epochs) / 8, rng.integers(0, 8, epochs) / 64


def offered(scores, rates, tolerance):
    selection = Selection(tolerance)
    for epoch, (score, rate) in enumerate(zip(scores.tolist(), rates.tolist(), strict=True)):
        selection.offer(epoch, score, rate, {"epoch": torch.tensor(epoch)})
    return selection


def kept(scores, rates, tolerance) -> int:
    """The lowest score of those near the lowest rate.

    Of equal ones that of the lower rate, then the first.
    """
    near = np.flatnonzero(rates <= rates.min() + tolerance)
    return int(min(near, key=lambda epoch: (scores[epoch], rates[epoch], epoch)))


@pytest.mark.parametrize("tolerance", [0.0, 1 / 64, 3 / 64, 1.0])
@pytest.mark.parametrize("seed", range(40))
def test_the_epoch_kept_is_the_best_of_those_within_the_tolerance(seed, tolerance):
    scores, rates = history(seed)
    for epochs in range(1, len(scores) + 1):
        best = offered(scores[:epochs], rates[:epochs], tolerance).best
        expected = kept(scores[:epochs], rates[:epochs], tolerance)
        assert best.epoch == expected
        assert (
            best.score == scores[expected]
            and best.constraint == rates[expected]
            and best.state["epoch"] == expected
        )


@pytest.mark.parametrize("tolerance", [0.0, 1 / 64, 3 / 64, 1.0])
@pytest.mark.parametrize("seed", range(40))
def test_what_is_held_may_still_win_and_nothing_else_is(seed, tolerance):
    scores, rates = history(seed)
    held = offered(scores, rates, tolerance).candidates
    for one in held:
        assert one.constraint <= rates.min() + tolerance
        assert not any(
            o is not one and o.score <= one.score and o.constraint <= one.constraint for o in held
        )
    lower = [
        (score, rate)
        for score, rate in zip(scores, rates, strict=True)
        if rate <= rates.min() + tolerance
    ]
    front = {
        (s, r)
        for s, r in lower
        if not any(a <= s and b <= r and (a, b) != (s, r) for a, b in lower)
    }
    assert {(one.score, one.constraint) for one in held} == front


def test_without_a_tolerance_it_is_the_lowest_constraint_and_with_all_of_it_the_lowest_score():
    scores, rates = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.3, 0.2])
    assert [offered(scores, rates, tolerance).best.epoch for tolerance in (0.0, 0.15, 1.0)] == [
        0,
        2,
        1,
    ]


def test_a_later_epoch_with_a_lower_constraint_puts_an_earlier_one_beyond_the_tolerance():
    selection = Selection(0.01)
    selection.offer(1, 1.0, 0.5, {})
    assert selection.best.epoch == 1
    selection.offer(2, 9.0, 0.1, {})
    assert selection.best.epoch == 2 and len(selection.candidates) == 1


def test_before_the_first_there_is_none():
    assert Selection(0.1).best is None


def test_the_state_kept_is_a_copy():
    weight, flag = torch.nn.Parameter(torch.ones(3)), torch.tensor(True)
    selection = Selection(0.0)
    selection.offer(1, 1.0, 0.0, {"weight": weight, "flag": flag})
    with torch.no_grad():
        weight.fill_(7)
        flag.fill_(False)
    state = selection.best.state
    assert (
        torch.equal(state["weight"], torch.ones(3))
        and bool(state["flag"])
        and not state["weight"].requires_grad
    )


def test_it_goes_on_from_candidates_of_a_checkpoint_as_if_nothing_had_been():
    scores, rates = history(3)
    whole, first = offered(scores, rates, 2 / 64), offered(scores[:12], rates[:12], 2 / 64)
    restored = [
        Candidate(held.epoch, held.score, held.constraint, held.state) for held in first.candidates
    ]
    second = Selection(2 / 64)
    second.restore(restored)
    for epoch in range(12, len(scores)):
        second.offer(
            epoch, float(scores[epoch]), float(rates[epoch]), {"epoch": torch.tensor(epoch)}
        )
    assert [held.epoch for held in second.candidates] == [held.epoch for held in whole.candidates]
    assert len(restored) == len(first.candidates)  # the list given is not the one that changes
