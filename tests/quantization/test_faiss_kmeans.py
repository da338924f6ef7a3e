"""k-means in FAISS: the same whatever the machine, and on a GPU where there is one."""

from __future__ import annotations

import logging

import faiss
import numpy as np
import pytest
import torch
from tests.conftest import clustered

from semantic_ids.quantization.faiss_kmeans import THREADS, faiss_kmeans, log_device
from semantic_ids.quantization.kmeans import kmeans, nearest, progressive, spread_points


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def points():
    return torch.from_numpy(clustered(2000, 12, seed=1))


def error(points, centroids):
    return float(nearest(points, centroids)[1].mean())


def test_it_is_what_faiss_makes_with_that_seed(points):
    """With no point left out, and as often as it is asked to."""
    theirs = faiss.Kmeans(
        12,
        5,
        niter=7,
        seed=int(torch.randint(2**31 - 1, (1,), generator=seeded(3))),
        max_points_per_centroid=len(points),
    )
    theirs.train(points.numpy())
    ours = faiss_kmeans(points, 5, seeded(3), 7)
    np.testing.assert_array_equal(ours.numpy(), theirs.centroids)


def test_from_the_same_start_both_engines_come_to_the_same_end(points):
    start = spread_points(points, 6, seeded())
    ours, theirs = (
        cluster(points, 6, seeded(), 5, start.clone()) for cluster in (kmeans, faiss_kmeans)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_progressive_dimensions_run_in_it(points, monkeypatch):
    widths = []

    def watched(part, size, generator, iterations, start):
        widths.append(part.shape[1])
        return faiss_kmeans(part, size, generator, iterations, start)

    found = progressive(points, 16, seeded(), 4, watched)
    assert widths == sorted(set(widths)) and widths[-1] == 12 and len(widths) > 3
    assert error(points, found) < 1.1 * error(points, progressive(points, 16, seeded(), 4))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing_and_is_put_back(points, threads):
    expected, before = faiss_kmeans(points, 40, seeded(), 5), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        assert torch.equal(faiss_kmeans(points, 40, seeded(), 5), expected)
        assert faiss.omp_get_max_threads() == threads != THREADS
    finally:
        faiss.omp_set_num_threads(before)


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_few_points_are_no_trouble(points, count):
    found = faiss_kmeans(points[:count], 8, seeded(), 3)
    assert found.shape == (8, 12) and torch.isfinite(found).all()
    if count <= 8:
        assert error(points[:count], found) < 1e-5


def test_equal_points_are_no_trouble():
    found = faiss_kmeans(torch.ones(100, 4), 8, seeded(), 3)
    torch.testing.assert_close(found[nearest(torch.ones(1, 4), found)[0]], torch.ones(1, 4))


def test_it_says_where_it_computes(caplog):
    with caplog.at_level(logging.INFO):
        log_device(torch.device("cpu"))
    assert "faiss" in caplog.text and f"the CPU, {THREADS} threads" in caplog.text


def test_it_warns_where_a_gpu_is_meant_and_faiss_finds_none(caplog, monkeypatch):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    log_device(torch.device("cuda"))
    assert "finds no CUDA device" in caplog.text and "semantic-ids[gpu]" in caplog.text


@pytest.mark.gpu
def test_on_a_gpu_it_is_as_good_and_the_same_twice(points):
    if not faiss.get_num_gpus():
        pytest.skip("this FAISS finds no GPU")
    there = points.cuda()
    first, again = (faiss_kmeans(there, 16, seeded(), 10) for _ in range(2))
    assert first.device == there.device and torch.equal(first, again)
    assert error(points, first.cpu()) < 1.05 * error(points, faiss_kmeans(points, 16, seeded(), 10))
