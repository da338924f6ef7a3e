"""Slices, coverage and popularity against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.recommenders.slices import Recommended, by_popularity, popularity_percentiles


def test_each_target_is_in_one_slice():
    counts = np.array([0, 1, 5, 6, 30, 31, 10_000, 0])
    found = by_popularity(counts)
    names = [next(name for name in found if found[name][place]) for place in range(len(counts))]
    assert names == ["cold", "tail", "tail", "middle", "middle", "head", "head", "cold"]
    np.testing.assert_array_equal(sum(of.astype(int) for of in found.values()), 1)
    assert [int(of.sum()) for of in by_popularity(counts, (1, 6)).values()] == [2, 1, 2, 3]


@pytest.mark.parametrize("bounds", [(5,), (0, 3), (5, 5), (9, 2), (1, 2, 3)])
def test_bounds_that_do_not_ascend_are_refused(bounds):
    with pytest.raises(BadInput, match=r"judge\.slices"):
        by_popularity(np.arange(3), bounds)


def test_coverage_and_popularity_over_batches():
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(40)[:6] for _ in range(30)])
    lists[::4, 4:] = -1
    training = rng.integers(0, 9, 50)
    found = Recommended(50, (1, 5, 6))
    for part in (slice(0, 7), slice(7, 30)):
        found.add(lists[part])
    percent = [
        ((training < training[i]).sum() + (training == training[i]).sum() / 2) / 50
        for i in range(50)
    ]
    for place, k in enumerate((1, 5, 6)):
        given = [i for row in lists.tolist() for i in row[:k] if i >= 0]
        assert found.coverage()[place] == len(set(given)) / 50
        assert found.popularity(training)[place] == pytest.approx(np.mean(training[given]))
        assert found.percentile(training)[place] == pytest.approx(np.mean(np.take(percent, given)))
    np.testing.assert_allclose(popularity_percentiles(training), percent)
    assert popularity_percentiles(training).mean() == pytest.approx(0.5)


def test_nothing_recommended():
    found = Recommended(5, (1, 10))
    assert found.coverage().tolist() == [0, 0]
    assert np.isnan(found.popularity(np.arange(5))).all()
    assert np.isnan(found.percentile(np.arange(5))).all()
