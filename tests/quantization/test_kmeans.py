"""k-means against scikit-learn and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from tests.conftest import clustered

from semantic_ids.quantization.kmeans import (
    kmeans,
    nearest,
    progressive,
    random_points,
    residual_kmeans,
    spread_points,
    totals,
)


def points(n=600, dim=6, clusters=7):
    return torch.from_numpy(clustered(n, dim, seed=4, clusters=clusters))


def test_it_comes_close_to_scikit_learn():
    x = points()
    ours = nearest(x, kmeans(x, 7, torch.Generator().manual_seed(0), iterations=50))[1].sum()
    theirs = min(
        KMeans(7, n_init=1, init="random", random_state=s).fit(x.numpy()).inertia_
        for s in range(10)
    )
    assert ours <= 1.35 * theirs


def test_more_iterations_never_raise_the_error():
    x = points()
    errors = [
        nearest(x, kmeans(x, 12, torch.Generator().manual_seed(3), iterations=i))[1].sum().item()
        for i in range(1, 12)
    ]
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


def test_nearest_and_totals_are_what_brute_force_says():
    x, centroids = points(350), points(9)
    distances = ((x[:, None].double() - centroids[None].double()) ** 2).sum(-1)
    codes, errors = nearest(x, centroids)
    assert torch.equal(codes, distances.argmin(1))
    np.testing.assert_allclose(errors, distances.min(1).values, rtol=1e-4, atol=1e-4)
    sums, counts = totals(x, codes, 9)
    for k in range(9):
        np.testing.assert_allclose(sums[k], x[codes == k].sum(0), rtol=1e-4, atol=1e-3)
        assert counts[k] == (codes == k).sum()


@pytest.mark.parametrize("size", [1, 4, 9])
def test_points_far_from_each_other_are_drawn_from_every_heap(size):
    heaps = 100.0 * torch.eye(9)[torch.arange(450) % 9]
    x = heaps + 0.01 * torch.randn(450, 9, generator=torch.Generator().manual_seed(0))
    chosen = spread_points(x, size, torch.Generator().manual_seed(1))
    assert len(chosen.argmax(1).unique()) == size
    assert all((x == point).all(1).any() for point in chosen)


def test_points_are_drawn_in_proportion_to_their_squared_distance():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    seconds = [[], [], []]
    for seed in range(3000):
        first, second = (
            spread_points(x, 2, torch.Generator().manual_seed(seed)).flatten().int().tolist()
        )
        seconds[first].append(second)
    assert np.mean(np.array(seconds[0]) == 2) == pytest.approx(0.8, abs=0.04)
    assert np.mean(np.array(seconds[1]) == 2) == pytest.approx(0.5, abs=0.05)


def test_equal_points_are_no_trouble_for_any_start():
    x = torch.ones(20, 4)
    for start in (spread_points, random_points):
        assert torch.equal(start(x, 6, torch.Generator().manual_seed(0)), torch.ones(6, 4))
    assert torch.isfinite(progressive(x, 6, torch.Generator().manual_seed(0), 3)).all()


def test_the_progressive_start_is_better_than_a_random_one_where_few_dimensions_matter():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(1500, 40, generator=generator) * torch.linspace(1, 0, 40) ** 3
    plain = np.mean(
        [
            float(nearest(x, kmeans(x, 32, torch.Generator().manual_seed(s), 4))[1].sum())
            for s in range(3)
        ]
    )
    grown = np.mean(
        [
            float(nearest(x, progressive(x, 32, torch.Generator().manual_seed(s), 4))[1].sum())
            for s in range(3)
        ]
    )
    assert grown < plain


def test_nearest_does_not_depend_on_the_number_of_threads():
    x, centroids = points(6000), points(50)
    threads = torch.get_num_threads()
    found = []
    for number in (1, 3):
        torch.set_num_threads(number)
        found.append(nearest(x, centroids))
    torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_residual_kmeans_clusters_what_the_levels_before_left_over():
    z, seen = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)), []

    def cluster(rest, size):
        seen.append(rest.numpy().copy())
        return rest[:size].clone()

    books = [book.numpy() for book in residual_kmeans(z, (5, 4, 3), cluster)]
    assert [book.shape for book in books] == [(5, 3), (4, 3), (3, 3)]
    expected = z.numpy().astype(np.float64)
    for rest, book in zip(seen, books, strict=True):
        np.testing.assert_allclose(rest, expected, atol=1e-6)
        expected -= book[((expected[:, None] - book[None]) ** 2).sum(-1).argmin(1)]
