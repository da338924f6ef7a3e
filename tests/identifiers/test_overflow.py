from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.grouping import Groups
from semantic_ids.identifiers import TokenizerCosts, overflow, sparse_assignment
from semantic_ids.identifiers.groups import Occupancy
from semantic_ids.identifiers.offers import Offers
from semantic_ids.identifiers.overflow import choose_leavers, first_come, spill
from semantic_ids.identifiers.placement import Placement


def one_by_one(offers, rows, room):
    """The definition: of all offers not yet looked at, the one of least (cost, row) is next."""
    queue = sorted(
        (offers.costs[i, j], rows[i], i, j)
        for i in range(len(rows))
        for j in range(offers.made()[i])
    )
    taken = [-1] * len(rows)
    for _, _, i, j in queue:
        prefix = int(offers.prefixes[i, j])
        if taken[i] < 0 and room[prefix] > 0:
            room[prefix] -= 1
            taken[i] = j
    return taken


@pytest.mark.parametrize("seed", range(10))
def test_first_come_serves_in_the_order_of_cost_and_row(seed):
    rng = np.random.default_rng(seed)
    m, t = 30, 4
    prefixes = np.stack([rng.permutation(8)[:t] for _ in range(m)]).astype(np.int64)
    costs = np.sort(rng.integers(0, 6, (m, t)), axis=1).astype(float)
    costs[rng.random(m) < 0.3, 2:] = np.inf
    rows = rng.permutation(100)[:m]
    used = rng.integers(0, 5, 8)
    occupancy = Occupancy.of(np.repeat(np.arange(8), used))
    offers = Offers(prefixes, np.zeros((m, t), np.int32), costs)
    taken = first_come(offers, rows, occupancy, 4)
    assert taken.tolist() == one_by_one(offers, rows, {p: 4 - int(u) for p, u in enumerate(used)})


def crowded(tokenizer, n=40, seed=2):
    """Items near one point, so that one prefix is overfull."""
    rng = np.random.default_rng(seed)
    vectors = (tokenizer.all_vectors[0] + 0.05 * rng.normal(size=(n, tokenizer.dim))).astype(
        np.float32
    )
    costs = TokenizerCosts(tokenizer, vectors)
    return Placement(costs, np.tile(tokenizer.encode(vectors[:1]), (n, 1)))


def test_those_leave_who_lose_least(make_tokenizer):
    from scipy.optimize import linear_sum_assignment

    tokenizer = make_tokenizer((4, 4, 5))
    placement = crowded(tokenizer)
    key = placement.prefix_keys()[:1]
    leavers, offers = choose_leavers(placement, Groups.by(placement.prefix_keys()), key, 3)
    losses = offers.costs[:, 0].astype(np.float64)
    costs = placement.costs(np.arange(40)).astype(np.float64)
    elsewhere = placement.oracle.candidates(np.arange(40), 1, key)[1][:, 0].astype(np.float64)
    square = np.concatenate([costs, np.repeat(elsewhere[:, None], 35, axis=1)], axis=1)
    stays = np.setdiff1d(np.arange(40), leavers)
    assert len(stays) == 5
    np.testing.assert_array_equal(np.sort(placement.codes[stays, -1]), np.arange(5))
    np.testing.assert_array_equal(losses, elsewhere[leavers])
    assert costs[stays, placement.codes[stays, -1]].sum() + losses.sum() == pytest.approx(
        square[linear_sum_assignment(square)].sum(), abs=1e-9
    )


@pytest.mark.parametrize("kind", ["exhaustive", "short-sighted", "blind"])
@pytest.mark.parametrize("candidates", [1, 3, 50])
def test_spill_leaves_no_prefix_overfull(make_tokenizer, kind, candidates):
    tokenizer = make_tokenizer((3, 3, 5), kind=kind)
    placement = crowded(tokenizer, n=45)  # exactly as many as there are codes
    spill(placement, candidates)
    np.testing.assert_array_equal(
        np.unique(placement.prefix_keys(), return_counts=True)[1], np.full(9, 5)
    )


def test_small_turns_and_pieces_place_everyone_too(make_tokenizer, monkeypatch):
    monkeypatch.setattr(overflow, "FIRST_TURN", 2)
    monkeypatch.setattr(overflow, "SMALLEST_TURN", 1)
    placement = crowded(make_tokenizer((3, 3, 5)), n=44)
    spill(placement, 2)
    assert np.unique(placement.prefix_keys(), return_counts=True)[1].max() == 5


def test_a_group_larger_than_a_batch_is_the_same_problem(make_tokenizer, monkeypatch):
    tokenizer = make_tokenizer((4, 4, 5))
    whole, parts = crowded(tokenizer), crowded(tokenizer)
    spill(whole, 3)
    monkeypatch.setattr(Placement, "batch_rows", property(lambda self: 7))
    spill(parts, 3)
    np.testing.assert_array_equal(whole.codes, parts.codes)
    np.testing.assert_array_equal(whole.after, parts.after)


@pytest.mark.parametrize("candidates", [1, 3])
def test_a_contest_too_large_for_a_table_ends_at_the_same_total(
    make_tokenizer, monkeypatch, candidates
):
    tokenizer = make_tokenizer((3, 24), seed=4)
    expected, found = crowded(tokenizer, n=60), crowded(tokenizer, n=60)
    spill(expected, candidates)
    monkeypatch.setattr(overflow, "DENSE_CELLS", 0)
    monkeypatch.setattr(sparse_assignment, "CANDIDATES", 4)
    monkeypatch.setattr(Placement, "batch_rows", property(lambda self: 7))
    spill(found, candidates)
    home = expected.prefix_keys() == crowded(tokenizer).prefix_keys()[0]
    np.testing.assert_array_equal(np.sort(found.codes[home, -1]), np.arange(24))
    np.testing.assert_array_equal(expected.prefix_keys(), found.prefix_keys())
    np.testing.assert_array_equal(expected.before[home], found.before[home])
    assert found.after.sum() == pytest.approx(expected.after.sum(), rel=1e-7)


@pytest.mark.parametrize("dense_cells", [0, 1 << 24])
def test_of_equal_items_the_first_rows_stay_in_a_contest_of_any_size(
    make_tokenizer, monkeypatch, dense_cells
):
    monkeypatch.setattr(overflow, "DENSE_CELLS", dense_cells)
    tokenizer = make_tokenizer((3, 3, 5))
    vectors = np.repeat(np.float32(tokenizer.all_vectors[:1] + 0.01), 30, axis=0)
    codes = np.tile(tokenizer.encode(vectors[:1]), (30, 1))
    placement = Placement(TokenizerCosts(tokenizer, vectors), codes)
    home = placement.prefix_keys()[0]
    spill(placement, 4)
    np.testing.assert_array_equal(np.flatnonzero(placement.prefix_keys() == home), np.arange(5))
    assert (np.diff(placement.after[:5]) >= 0).all()
    assert (np.diff(placement.after[5:]) >= 0).all()
