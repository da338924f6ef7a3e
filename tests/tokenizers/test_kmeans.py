"""k-means against scikit-learn and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from semantic_ids.tokenizers.kmeans import kmeans, nearest, totals
from tests.conftest import clustered


def points(n=600, dim=6, clusters=7):
    return torch.from_numpy(clustered(n, dim, seed=4, clusters=clusters))


def test_it_comes_close_to_scikit_learn():
    x = points()
    ours = nearest(x, kmeans(x, 7, torch.Generator().manual_seed(0), iterations=50))[1].sum()
    theirs = min(KMeans(7, n_init=1, init="random", random_state=s).fit(x.numpy()).inertia_ for s in range(10))
    assert ours <= 1.35 * theirs


def test_more_iterations_never_raise_the_error():
    x = points()
    errors = [nearest(x, kmeans(x, 12, torch.Generator().manual_seed(3), iterations=i))[1].sum().item() for i in range(1, 12)]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(errors))


def test_every_centroid_is_used_where_there_are_enough_different_points():
    x = points(clusters=3)
    codes, _ = nearest(x, kmeans(x, 100, torch.Generator().manual_seed(1)))
    assert len(codes.unique()) == 100


@pytest.mark.parametrize("size", [1, 5, 8])
def test_few_points_are_no_trouble(size):
    x = points(5)
    centroids = kmeans(x, size, torch.Generator().manual_seed(0))
    assert centroids.shape == (size, 6) and torch.isfinite(centroids).all()
    if size >= 5:
        assert nearest(x, centroids)[1].max() < 1e-4


def test_nearest_and_totals_are_what_brute_force_says(monkeypatch):
    monkeypatch.setattr("semantic_ids.tokenizers.kmeans.CHUNK", 100)
    x, centroids = points(350), points(9)
    distances = ((x[:, None].double() - centroids[None].double()) ** 2).sum(-1)
    codes, errors = nearest(x, centroids)
    assert torch.equal(codes, distances.argmin(1))
    np.testing.assert_allclose(errors, distances.min(1).values, rtol=1e-4, atol=1e-4)
    sums, counts = totals(x, codes, 9)
    for k in range(9):
        np.testing.assert_allclose(sums[k], x[codes == k].sum(0), rtol=1e-4, atol=1e-3)
        assert counts[k] == (codes == k).sum()
