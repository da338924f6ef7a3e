"""Scores of candidates against cosines in float64."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.metrics.candidates import FLOAT32_BOUND, Directions, Vectors


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
