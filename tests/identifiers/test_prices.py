"""Prices change no solution, and settle most of a crowd."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from semantic_ids.identifiers.assignment import assign
from semantic_ids.identifiers.prices import without_prices


def crowd(items, codes, seed, noise=0.05):
    """Near-duplicates: all of them want the same codes."""
    rng = np.random.default_rng(seed)
    return (rng.random(codes) * 10 + noise * rng.random((items, codes))).astype(np.float32)


def least(costs):
    """The total by scipy alone, in float64."""
    costs = costs.astype(np.float64)
    return costs[linear_sum_assignment(costs)].sum()


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 40),
    st.sampled_from([0.0, 1e-3, 0.05, 1.0, 100.0]),
    st.sampled_from([1e-30, 1.0, 1e12]),
    st.integers(0, 999),
)
def test_a_problem_without_its_prices_has_the_same_best_solution(items, free, noise, scale, seed):
    costs = crowd(items, items + free, seed, noise) * np.float32(scale)
    codes = assign(costs)
    assert len(set(codes.tolist())) == items
    paid = costs[np.arange(items), codes].sum(dtype=np.float64)
    assert paid == pytest.approx(least(costs), rel=1e-9)
    table = without_prices(costs)
    assert table.shape == (items + free, items + free)
    solved = linear_sum_assignment(table)[1][free:]
    assert costs[np.arange(items), solved].sum(dtype=np.float64) == pytest.approx(paid, rel=1e-9)


@pytest.mark.parametrize(
    "costs",
    [
        np.zeros((3, 4)),
        np.full((4, 4), 3e38),
        np.diag([1e38, 1.0, 2.0, 3.0]),
        np.random.default_rng(0).random((5, 5)) * 1e-40,
    ],
)
def test_numbers_at_the_ends_of_float32_are_no_harm(costs):
    costs = costs.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = assign(costs)
    paid = costs[np.arange(len(costs)), codes].sum(dtype=np.float64)
    assert paid == pytest.approx(least(costs), rel=1e-9)


def test_most_of_a_crowd_likes_best_what_it_gets():
    """What makes it quick: with the prices taken off, hardly anyone has to be talked out of its
    choice.
    """
    costs = crowd(200, 200, 1)
    assert len(np.unique(costs.argmin(axis=1))) <= 2
    assert len(np.unique(without_prices(costs).argmin(axis=1))) > 100
