"""Preprocessing against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.preprocessing import Preprocessing, PreprocessOptions
from tests.conftest import clustered


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("rows", [np.arange(20_000), np.arange(0, 20_000, 3)])
def test_mean_and_scale_are_those_of_the_rows(normalize, center, scale, rows):
    vectors = clustered(20_000, 6, seed=1) + 3
    x = vectors.astype(np.float64)[rows]
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize else x
    mean = x.mean(0) if center else np.zeros(6)
    spread = np.sqrt(((x - mean) ** 2).mean()) if scale else 1.0
    fitted = Preprocessing.fit(vectors, rows, PreprocessOptions(normalize, center, scale))
    np.testing.assert_allclose(fitted.mean, mean, atol=1e-6)
    assert fitted.scale == pytest.approx(spread, rel=1e-6)
    prepared = fitted.apply(torch.from_numpy(vectors[:100]))
    first = vectors[:100] / np.linalg.norm(vectors[:100], axis=1, keepdims=True) if normalize else vectors[:100]
    np.testing.assert_allclose(prepared, (first - mean) / spread, atol=1e-5)
    np.testing.assert_allclose(fitted.undo(prepared), first, atol=1e-5)


def test_a_large_offset_does_no_harm():
    vectors = clustered(10_000, 6, seed=1)
    near, far = (Preprocessing.fit(x, np.arange(10_000), PreprocessOptions()) for x in (vectors, vectors + np.float32(4096)))
    assert far.scale == pytest.approx(near.scale, rel=1e-3)


def test_constant_vectors_have_scale_one():
    fitted = Preprocessing.fit(np.ones((10, 3), np.float32), np.arange(10), PreprocessOptions())
    assert fitted.scale == 1 and torch.equal(fitted.apply(torch.ones(1, 3)), torch.zeros(1, 3))


def test_a_zero_vector_has_no_direction():
    with pytest.raises(BadInput, match="1 vectors are zero"):
        Preprocessing.fit(np.eye(3, 4, dtype=np.float32)[:, :2], np.arange(3), PreprocessOptions(normalize=True))
