from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semantic_ids.identifiers.assignment import LEAVES, Contest, assign, in_row_order


@pytest.mark.parametrize("seed", range(10))
def test_assign_is_the_best_of_all_injections(seed):
    costs = np.random.default_rng(seed).random((4, 6)).astype(np.float32)
    codes = assign(costs)
    assert len(set(codes.tolist())) == 4
    best = min(
        sum(float(costs[i, k]) for i, k in enumerate(choice))
        for choice in permutations(range(6), 4)
    )
    assert sum(float(costs[i, k]) for i, k in enumerate(codes)) == pytest.approx(best, abs=1e-12)


def hold(values, pieces=1):
    contest = Contest(np.arange(values.shape[1]))
    for items in np.array_split(np.arange(len(values)), pieces):
        contest.enter(items, values[items])
    return contest.stay()


def with_more_columns(costs, elsewhere):
    """The definition: n items, K codes, n − K columns of what each item pays elsewhere."""
    n, K = costs.shape
    square = np.concatenate([costs, np.repeat(elsewhere[:, None], n - K, axis=1)], axis=1)
    rows, columns = linear_sum_assignment(square)
    return square[rows, columns].sum()


@pytest.mark.parametrize("seed", range(10))
def test_contest_keeps_those_of_most_regret(seed):
    rng = np.random.default_rng(seed)
    costs, elsewhere = rng.random((6, 3)), rng.random(6) * 2
    items, codes, _ = hold(costs - elsewhere[:, None])
    total = costs[items, codes].sum() + np.delete(elsewhere, items).sum()
    everyone = [
        sum(costs[i, k] for i, k in zip(order, range(3), strict=True))
        + np.delete(elsewhere, stay).sum()
        for stay in combinations(range(6), 3)
        for order in permutations(stay)
    ]
    assert total == pytest.approx(min(everyone), abs=1e-12)
    assert total == pytest.approx(with_more_columns(costs, elsewhere), abs=1e-12)


def test_contest_is_not_won_by_least_cost():
    costs, elsewhere = np.array([[1.0], [2.0]]), np.array([1.5, 9.0])
    assert hold(costs - elsewhere[:, None])[0].tolist() == [1]


@pytest.mark.parametrize("pieces", [1, 7])
@pytest.mark.parametrize("decimals", [1, 8])
def test_pruning_loses_nothing(pieces, decimals):
    rng = np.random.default_rng(3)
    costs, elsewhere = rng.random((300, 8)).round(decimals), rng.random(300).round(decimals)
    items, codes, values = hold(costs - elsewhere[:, None], pieces)
    assert len(set(items.tolist())) == 8
    assert sorted(codes.tolist()) == list(range(8))
    np.testing.assert_allclose(values, (costs - elsewhere[:, None])[items, codes])
    assert costs[items, codes].sum() + np.delete(elsewhere, items).sum() == pytest.approx(
        with_more_columns(costs, elsewhere), abs=1e-9
    )


def test_a_huge_contest_keeps_few():
    contest = Contest(np.arange(4))
    for start in range(0, 4000, 100):
        contest.enter(np.arange(start, start + 100), np.zeros((100, 4)))
    assert sorted(contest.stay()[0].tolist()) == [0, 1, 2, 3]  # all alike: the first rows
    assert len(contest._items) <= 16


alike = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20)


@given(alike, st.randoms(use_true_random=False))
def test_in_row_order_only_exchanges_among_those_alike(rows, random):
    owner, likeness = np.array(rows).T
    owner = np.sort(owner)
    codes = np.array(random.sample(range(len(rows)), len(rows)))
    costs = np.array([random.choice([0.0, 1.0, 2.0]) for _ in rows])
    leaves = np.array([random.random() < 0.3 for _ in rows])
    codes[leaves], costs[leaves] = LEAVES, np.inf
    new_codes, new_costs = in_row_order(owner, likeness.astype(np.uint64), codes, costs)
    for who in set(zip(owner.tolist(), likeness.tolist(), strict=True)):
        mine = (owner == who[0]) & (likeness == who[1])
        given_, got = (
            list(zip(costs[mine], codes[mine], strict=True)),
            list(zip(new_costs[mine], new_codes[mine], strict=True)),
        )
        assert got == sorted(given_)
