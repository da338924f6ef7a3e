"""Scores of candidates against cosines in float64."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.contract import LinearDecoder
from semantic_ids.metrics import candidates
from semantic_ids.metrics.candidates import FLOAT32_BOUND, Directions, SumsOfCodes, Vectors


@pytest.mark.parametrize("fast", [False, True])
def test_scores_are_within_their_bounds(fast):
    """Of rows whose values differ in size by a factor of a million, too."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((400, 96)) * 10.0 ** rng.uniform(-3, 3, 96)).astype(np.float32)
    queries = Directions.of(x[:100]).unit
    block = Vectors(Directions(queries, queries.bfloat16() if fast else None), x, np.arange(400))
    scores, bounds = block.scores()
    unit = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    errors = np.abs(scores.double().numpy() - unit[:100] @ unit.T)
    assert (errors <= bounds.numpy()).all()
    assert errors.max() > bounds.max() / 1000  # it is a bound of this, and not just any number
    pairs = rng.integers(0, 100, 5000), rng.integers(0, 400, 5000)
    closer = block.closer(*pairs)
    if not fast:
        assert closer is None
    else:
        assert np.abs(closer - (unit[:100] @ unit.T)[pairs]).max() < FLOAT32_BOUND
        few = block.closer(np.arange(100), np.arange(100))
        assert np.isinf(few).all()  # exact ones are cheaper


@pytest.mark.parametrize("held", [True, False])
def test_norms_of_sums_are_those_of_the_vectors_added_up(held, monkeypatch):
    """With the table of all products, and without it, as codebooks are too large for one."""
    if not held:
        monkeypatch.setattr(candidates, "LARGEST_PRODUCTS", 29**2 - 1)
    rng = np.random.default_rng(5)
    codebooks = [rng.standard_normal((size, 6)).astype(np.float32) for size in (16, 8, 4)]
    mean, axes = rng.standard_normal(9).astype(np.float32), np.linalg.qr(rng.normal(size=(9, 6)))[0]
    decoder = LinearDecoder(False, mean, axes.astype(np.float32), codebooks)
    sums = SumsOfCodes(rng.standard_normal((3, 9)), decoder)
    assert (sums._products is not None) == held
    codes = np.stack([rng.integers(0, size, 50) for size in (16, 8, 4)], axis=1)
    added = mean + sum(
        book[column].astype(float) @ axes.astype(np.float32).T.astype(float)
        for book, column in zip(codebooks, codes.T, strict=True)
    )
    norms, terms = sums.norms(sums.places(codes))
    np.testing.assert_allclose(norms, np.linalg.norm(added, axis=1), rtol=1e-12)
    assert (terms >= norms - 1e-9).all()
