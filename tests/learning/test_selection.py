"""Which epoch is kept, against brute force over whole histories; and which training is given up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.learning.selection import Candidate, Selection, refuse_collapse


def history(seed: int, epochs: int = 25):
    """Scores and collision rates of epochs, of few different values, so that there are ties."""
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
            and best.collision_rate == rates[expected]
            and best.state["epoch"] == expected
        )


@pytest.mark.parametrize("tolerance", [0.0, 1 / 64, 3 / 64, 1.0])
@pytest.mark.parametrize("seed", range(40))
def test_what_is_held_may_still_win_and_nothing_else_is(seed, tolerance):
    scores, rates = history(seed)
    held = offered(scores, rates, tolerance).candidates
    for one in held:
        assert one.collision_rate <= rates.min() + tolerance
        assert not any(
            o is not one and o.score <= one.score and o.collision_rate <= one.collision_rate
            for o in held
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
    assert {(one.score, one.collision_rate) for one in held} == front


def test_without_a_tolerance_it_is_the_fewest_collisions_and_with_all_of_it_the_lowest_score():
    scores, rates = np.array([3.0, 1.0, 2.0]), np.array([0.1, 0.3, 0.2])
    assert [offered(scores, rates, tolerance).best.epoch for tolerance in (0.0, 0.15, 1.0)] == [
        0,
        2,
        1,
    ]


def test_a_later_epoch_with_fewer_collisions_puts_an_earlier_one_beyond_the_tolerance():
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
        Candidate(held.epoch, held.score, held.collision_rate, held.state)
        for held in first.candidates
    ]
    second = Selection(2 / 64)
    second.restore(restored)
    for epoch in range(12, len(scores)):
        second.offer(
            epoch, float(scores[epoch]), float(rates[epoch]), {"epoch": torch.tensor(epoch)}
        )
    assert [held.epoch for held in second.candidates] == [held.epoch for held in whole.candidates]
    assert len(restored) == len(first.candidates)  # the list given is not the one that changes


# ---- collapse ------------------------------------------------------------------------------------


def row(*perplexities, dead=(3, 90)):
    found = {"epoch": 4}
    for level, (perplexity, unused) in enumerate(zip(perplexities, dead, strict=True), start=1):
        found |= {f"perplexity.{level}": perplexity, f"dead.{level}": unused}
    return found


@pytest.mark.parametrize(
    ("perplexity", "items", "refused"),
    [(10.01, 5000, False), (10.0, 5000, False), (9.99, 5000, True)],
)
def test_it_refuses_just_below_the_share_of_the_codes(perplexity, items, refused):
    if refused:
        with pytest.raises(BadInput):
            refuse_collapse(row(8.0, perplexity), (8, 100), items, 0.1)
    else:
        refuse_collapse(row(8.0, perplexity), (8, 100), items, 0.1)


def test_of_few_items_no_more_codes_are_asked_than_there_are_items():
    refuse_collapse(row(5.0, 5.0), (8, 100), 50, 0.1)
    with pytest.raises(BadInput):
        refuse_collapse(row(5.0, 4.99), (8, 100), 50, 0.1)


def test_a_share_of_nothing_never_refuses():
    refuse_collapse(row(1.0, 1.0), (8, 100), 5000, 0.0)


def test_what_it_says_names_level_epoch_dead_codes_and_what_to_do():
    with pytest.raises(BadInput) as raised:
        refuse_collapse(row(8.0, 4.25), (8, 100), 5000, 0.1)
    message = str(raised.value)
    assert (
        "level 2 has collapsed in epoch 4" in message
        and "90 of its 100 codes are dead" in message
        and "4.2 codes" in message
    )
    assert "0.1 × 100 = 10" in message
    for change in (
        "learning_rate",
        "encoder_rate",
        "reset_below",
        "commitment",
        "rq_kmeans",
        "smaller codebooks",
        "collapse_below",
    ):
        assert change in message
