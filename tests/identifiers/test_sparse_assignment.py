"""Assignments over few candidates, against the dense solver of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semantic_ids.identifiers import sparse_assignment
from semantic_ids.identifiers.assignment import LEAVES
from semantic_ids.identifiers.sparse_assignment import assign_sparse


def distances(m, codes, dim=4, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    items = spread * rng.normal(size=(m, dim))
    places = rng.normal(size=(codes, dim))
    return ((items[:, None] - places[None]) ** 2).sum(2).astype(np.float32)


def solved(table, piece=50):
    asked = []

    def costs(rows):
        asked.append(len(rows))
        assert len(rows) <= piece
        return table[rows]

    chosen = assign_sparse(costs, *table.shape, piece)
    return chosen, sum(asked)


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch):
    monkeypatch.setattr(sparse_assignment, "CANDIDATES", 6)
    monkeypatch.setattr(sparse_assignment, "MORE", 3)


@pytest.mark.parametrize(
    "table",
    [
        distances(1, 5),
        distances(40, 200),
        distances(200, 200),
        distances(150, 200, seed=3),
        distances(120, 120, spread=1e-3),  # all want the same codes
        np.repeat(distances(3, 90), 30, axis=0),  # equal vectors
        distances(60, 64) - 5,  # costs below zero
        np.zeros((7, 9), np.float32),
        distances(6, 6),  # all codes are candidates
    ],
)
def test_the_cost_is_that_of_the_dense_solver_and_no_code_is_given_twice(table):
    chosen, _ = solved(table)
    assert len(np.unique(chosen)) == len(table)
    exact = table.astype(np.float64)
    expected = exact[linear_sum_assignment(exact)].sum()
    assert exact[np.arange(len(table)), chosen].sum() == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_random_problems_of_any_shape(seed):
    rng = np.random.default_rng(seed)
    codes = int(rng.integers(2, 120))
    table = distances(int(rng.integers(1, codes + 1)), codes, dim=2, spread=0.3, seed=seed)
    chosen, _ = solved(table, piece=17)
    exact = table.astype(np.float64)
    assert exact[np.arange(len(table)), chosen].sum() == pytest.approx(
        exact[linear_sum_assignment(exact)].sum(), rel=1e-7
    )


def test_items_that_are_certain_are_looked_at_once():
    places = np.arange(300, dtype=np.float32)
    table = (places[:290, None] - places[None]) ** 2
    chosen, asked = solved(table)
    assert chosen.tolist() == list(range(290)) and asked == 290


def against_elsewhere(n, codes, spread, seed=0, dim=3):
    """Costs of more items than codes, less what each pays elsewhere."""
    rng = np.random.default_rng(seed)
    elsewhere = rng.gamma(2.0, 1.0, n)
    return distances(n, codes, dim, spread, seed) - elsewhere[:, None]


@pytest.mark.parametrize(
    "table",
    [
        against_elsewhere(2, 1, 1.0),
        against_elsewhere(41, 40, 1.0),
        against_elsewhere(200, 40, 1.0),
        against_elsewhere(90, 60, 1e-3),  # all want the same codes
        np.repeat(against_elsewhere(7, 12, 1.0), 20, axis=0),  # equal vectors
        against_elsewhere(80, 30, 1.0) + 50,  # all would rather leave
        against_elsewhere(80, 30, 1.0) - 50,  # nobody would
        np.zeros((9, 7)),
        against_elsewhere(60, 4, 1.0),  # all codes are candidates
    ],
)
def test_of_more_items_than_codes_the_best_stay(table):
    codes = table.shape[1]
    chosen, _ = solved(table)
    stays = np.flatnonzero(chosen != LEAVES)
    assert sorted(chosen[stays].tolist()) == list(range(codes))
    held_by, held = linear_sum_assignment(table.T)
    expected = table.T[held_by, held].sum()
    assert table[stays, chosen[stays]].sum() == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_more_items_than_codes_of_any_shape(seed):
    rng = np.random.default_rng(seed)
    codes = int(rng.integers(1, 60))
    table = against_elsewhere(codes + int(rng.integers(1, 150)), codes, 0.3, seed, dim=2)
    chosen, _ = solved(table, piece=23)
    stays = np.flatnonzero(chosen != LEAVES)
    assert sorted(chosen[stays].tolist()) == list(range(codes))
    expected = table.T[linear_sum_assignment(table.T)].sum()
    assert table[stays, chosen[stays]].sum() == pytest.approx(expected, rel=1e-7)


def test_very_many_items_start_with_fewer_candidates(monkeypatch):
    monkeypatch.setattr(sparse_assignment, "PAIRS", 500)
    table = against_elsewhere(300, 40, 0.3, seed=5)
    chosen, _ = solved(table)
    stays = np.flatnonzero(chosen != LEAVES)
    expected = table.T[linear_sum_assignment(table.T)].sum()
    assert table[stays, chosen[stays]].sum() == pytest.approx(expected, rel=1e-7)
