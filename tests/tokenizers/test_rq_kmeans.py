"""What is particular to rq_kmeans."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from semantic_ids.errors import BadInput
from tests.conftest import clustered
from tests.tokenizers.conftest import fitted


@pytest.fixture(scope="module")
def vectors():
    return clustered(3000, 12, seed=1)


def test_the_first_level_is_what_faiss_finds(vectors):
    """FAISS on the same prepared vectors, with the same seed and threads."""
    tokenizer = fitted("rq_kmeans", vectors, sizes=(16,), seed=9, options={"iterations": 10, "threads": 1})
    x = (vectors - tokenizer.preprocessing.mean.numpy()) / np.float32(tokenizer.preprocessing.scale)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    kmeans = faiss.Kmeans(12, 16, niter=10, seed=9, max_points_per_centroid=256)
    kmeans.train(np.ascontiguousarray(x, dtype=np.float32))
    faiss.omp_set_num_threads(threads)
    np.testing.assert_allclose(tokenizer.quantizer.codebooks[0].numpy(), kmeans.centroids, atol=1e-5)


def test_the_threads_of_faiss_are_as_they_were(vectors):
    faiss.omp_set_num_threads(3)
    fitted("rq_kmeans", vectors, options={"threads": 1})
    assert faiss.omp_get_max_threads() == 3


def test_each_level_lowers_the_error(vectors):
    errors = []
    for levels in (1, 2, 3, 4):
        tokenizer = fitted("rq_kmeans", vectors, sizes=(8,) * levels)
        errors.append(((vectors - tokenizer.decode(tokenizer.encode(vectors))) ** 2).sum())
    assert all(np.diff(errors) < 0)


def test_the_history_is_the_objective_relative_to_the_variance(vectors):
    tokenizer = fitted("rq_kmeans", vectors, options={"iterations": 7})
    assert [(row["level"], row["iteration"]) for row in tokenizer.history] == [(level, i) for level in (1, 2, 3) for i in range(1, 8)]
    objectives = np.array([row["objective"] for row in tokenizer.history]).reshape(3, 7)
    assert (np.diff(objectives, axis=1) <= 1e-6).all() and (np.diff(objectives[:, -1]) < 0).all()
    decoded = tokenizer.decode(tokenizer.encode(vectors))
    assert objectives[-1, -1] == pytest.approx(((vectors - decoded) ** 2).sum() / ((vectors - vectors.mean(0)) ** 2).sum(), rel=0.05)


def test_the_fit_is_on_the_first_rows_up_to_the_points_a_centroid(vectors):
    tokenizer = fitted("rq_kmeans", vectors, options={"max_points_per_centroid": 20}, preprocess={"center": False, "scale": False})
    assert tokenizer.report["rows"] == 20 * 8
    spoilt = vectors.copy()
    spoilt[20 * 8 :] = 5
    other = fitted("rq_kmeans", spoilt, options={"max_points_per_centroid": 20}, preprocess={"center": False, "scale": False})
    np.testing.assert_array_equal(tokenizer.encode(vectors), other.encode(vectors))


@pytest.mark.parametrize(("option", "value"), [("iterations", 1), ("restarts", 4), ("max_points_per_centroid", 30)])
def test_every_option_has_an_effect(vectors, option, value):
    a, b = fitted("rq_kmeans", vectors), fitted("rq_kmeans", vectors, options={option: value})
    assert not np.array_equal(a.quantizer.codebooks[0], b.quantizer.codebooks[0])


def test_without_faiss_it_says_what_to_install(vectors, monkeypatch):
    monkeypatch.setattr("semantic_ids.tokenizers.kinds.find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"semantic-ids\[cpu\]"):
        fitted("rq_kmeans", vectors)
