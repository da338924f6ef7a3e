from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.metrics.nearest import nearest


def brute(queries, candidates, k):
    """All cosines in a double loop, sorted by (cosine descending, candidate ascending)."""
    found = []
    for q in queries.astype(float):
        scores = []
        for i, c in enumerate(candidates.astype(float)):
            norms = np.sqrt((q * q).sum()) * np.sqrt((c * c).sum())
            scores.append((-((q * c).sum() / norms if norms else 0.0), i))
        found.append([i for _, i in sorted(scores)[:k]])
    return np.array(found)


def blocks(x, size):
    return (partial(np.copy, x[start : start + size]) for start in range(0, len(x), size))


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
@pytest.mark.parametrize("k", [1, 11])
def test_against_a_double_loop(size, k):
    rng = np.random.default_rng(size)
    x = rng.standard_normal((300, 17)).astype(np.float32)
    assert (nearest(x[:40], blocks(x, size), k)[0] == brute(x[:40], x, k)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**16))
def test_ties_go_to_the_first_whatever_the_blocks(n, k, size, seed):
    """Rows of ±1 in 4 dimensions, their multiples and zeros.

    Cosines are multiples of 1/4, exactly, and nearly all of them tie.
    """
    rng = np.random.default_rng(seed)
    x = (rng.choice([-1, 1], (n, 4)) * rng.choice([0, 1, 2, 8], (n, 1))).astype(np.float32)
    found, scores = nearest(x[:5], blocks(x, size), k)
    kept = min(k, n)
    assert (found[:, :kept] == brute(x[:5], x, k)).all()
    assert (found[:, kept:] == -1).all() and np.isneginf(scores[:, kept:]).all()


def test_float32_rounding_decides_nothing():
    """Candidates whose cosines differ by less than float32 holds are still in the right order."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal((1, 64)).astype(np.float32)
    x = (query + 1e-4 * rng.standard_normal((500, 64))).astype(np.float32)
    assert (nearest(query, blocks(x, 50), 11)[0] == brute(query, x, 11)).all()


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_lengths_do_not_matter(scale):
    x = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    longer = (x * np.float32(scale) * np.linspace(1, 3, 100, dtype=np.float32)[:, None]).astype(
        np.float32
    )
    assert (nearest(longer[:10], blocks(longer, 30), 5)[0] == brute(x[:10], x, 5)).all()
