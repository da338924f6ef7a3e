"""Metrics against loops, and expectations against ties broken by chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.ranking import MEASURES, Places, places

KS = (1, 5, 10, 50)


def plain(items, target, k):
    """Recall, NDCG and MRR at k of a list in which one item is sought."""
    for rank, item in enumerate(items[:k], start=1):
        if item == target:
            return 1.0, 1 / math.log2(rank + 1), 1 / rank
    return 0.0, 0.0, 0.0


def all_orders(ids, sizes, target, k):
    """The mean of `plain` over every place that the target may have among the items of its ID."""
    found = []
    for place in range(sizes[ids.index(target)] if target in ids else 1):
        items = [(i, n) for i, size in zip(ids, sizes, strict=True) for n in range(size)]
        found.append(plain(items, (target, place), k))
    return np.mean(found, axis=0)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_mean_over_all_orders_of_the_items_of_an_id(data):
    ids = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=15, unique=True))
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=len(ids), max_size=len(ids)))
    target = data.draw(st.integers(-1, 30))
    found = places(np.array([ids]), np.array([target]), np.array([sizes]))
    claimed = found.counting_ids(KS)
    for column, k in enumerate(KS):
        truth = all_orders(ids, sizes, target, k)
        got = [found.expected(KS)[name][0, column] for name in MEASURES]
        np.testing.assert_allclose(got, truth, atol=1e-12)
        got = [claimed[name][0, column] for name in MEASURES]
        np.testing.assert_allclose(got, plain(ids, target, k), atol=1e-12)


def test_the_expectation_is_what_chance_comes_to():
    """50,000 shuffles of the items within each ID, each list then counted as it stands."""
    rng = np.random.default_rng(0)
    ids, sizes, target, k = [7, 3, 5, 2], [3, 2, 6, 4], 5, 8
    of_item = np.repeat(np.arange(4), sizes)  # 15 items; the one sought is the last of the ID 5
    orders = np.argsort(of_item + rng.random((50_000, 15)), axis=1)
    rank = (orders == 10).argmax(axis=1) + 1
    inside = rank <= k
    found = places(np.array([ids]), np.array([target]), np.array([sizes])).expected([k])
    assert found["recall"][0, 0] == pytest.approx(inside.mean(), abs=0.01)
    assert found["ndcg"][0, 0] == pytest.approx((inside / np.log2(rank + 1)).mean(), abs=0.005)
    assert found["mrr"][0, 0] == pytest.approx((inside / rank).mean(), abs=0.002)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20))
def test_unique_ids_are_counted_as_items(seed, width):
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.permutation(25)[:width] for _ in range(6)])
    ranked[rng.random(ranked.shape) < 0.1] = -1
    targets = rng.integers(0, 25, 6)
    found = places(ranked, targets)
    ones = places(ranked, targets, np.ones_like(ranked))
    for name in MEASURES:
        np.testing.assert_array_equal(found.expected(KS)[name], found.counting_ids(KS)[name])
    truth = np.array([[plain(list(r), t, k) for k in KS] for r, t in zip(ranked, targets)])  # noqa: B905
    for place, name in enumerate(MEASURES):
        np.testing.assert_allclose(found.expected(KS)[name], truth[:, :, place], atol=1e-12)
        there = ranked >= 0  # an empty place in a list of IDs takes no rank
        if there.all():
            np.testing.assert_array_equal(ones.expected(KS)[name], found.expected(KS)[name])


def test_what_cannot_be_found_is_never_found():
    """Not even in the empty places at the end of a list, whose number is −1 too."""
    found = places(np.array([[4, -1], [4, 2]]), np.array([-1, -1]), np.array([[2, 5], [1, 1]]))
    assert found.among.tolist() == [0, 0]
    assert not any(values.any() for values in found.expected(KS).values())


def test_batches_are_joined():
    rng = np.random.default_rng(1)
    ranked, targets = rng.permuted(np.tile(np.arange(9), (7, 1)), axis=1), rng.integers(0, 9, 7)
    sizes = rng.integers(1, 4, (7, 9))
    whole = places(ranked, targets, sizes)
    parts = [slice(0, 3), slice(3, 3), slice(3, 7)]
    joined = Places.joined(places(ranked[p], targets[p], sizes[p]) for p in parts)
    for name in ("before", "among", "rank"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert len(joined) == 7 and len(Places.joined([])) == 0
    assert Places.joined([]).expected(KS)["ndcg"].shape == (0, 4)
