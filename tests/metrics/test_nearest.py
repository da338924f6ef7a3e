from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.contract import LinearDecoder
from semantic_ids.metrics.candidates import CodeSums, Directions, SumsOfCodes, Vectors
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


def blocks(queries, x, size, fast=False):
    import torch

    unit = Directions.of(queries).unit
    directions = Directions(unit, unit.to(torch.bfloat16) if fast else None)
    return (
        partial(Vectors, directions, x[some].copy(), some)
        for some in np.array_split(np.arange(len(x)), range(size, len(x), size))
    )


def sums(queries, codes, decoder, decode, size):
    tables = SumsOfCodes(queries, decoder)
    return (
        partial(CodeSums, tables, codes[some], decode, some)
        for some in np.array_split(np.arange(len(codes)), range(size, len(codes), size))
    )


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [1, 5, 64, 1000])
@pytest.mark.parametrize("k", [1, 11])
def test_against_a_double_loop(size, k, fast):
    rng = np.random.default_rng(size)
    x = rng.standard_normal((300, 17)).astype(np.float32)
    found = nearest(x[:40], blocks(x[:40], x, size, fast), k)[0]
    assert (found == brute(x[:40], x, k)).all()


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("size", [3, 100])
def test_sums_of_codes_against_a_double_loop(size, offset, rotated):
    """With a common offset as well, with sums that cancel, and with the mean itself."""
    rng = np.random.default_rng(1)
    codebooks = [rng.standard_normal((k, 6)).astype(np.float32) for k in (5, 4)]
    codebooks[1][:2] = -codebooks[0][:2]
    axes = np.linalg.qr(rng.standard_normal((6, 6)))[0].astype(np.float32) if rotated else None
    decoder = LinearDecoder(False, np.full(6, offset, np.float32), axes, codebooks)

    def decode(codes):
        z = codebooks[0][codes[:, 0]] + codebooks[1][codes[:, 1]]
        return (z if axes is None else z @ axes.T) + decoder.mean

    codes = np.stack(np.meshgrid(np.arange(5), np.arange(4)), -1).reshape(-1, 2)
    x = decode(codes)
    assert offset or not x.any(axis=1).all()
    found, _ = nearest(x[:9], sums(x[:9], codes, decoder, decode, size), 7)
    assert (found == brute(x[:9], x, 7)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**16))
def test_ties_go_to_the_first_whatever_the_blocks(n, k, size, seed):
    """Rows of ±1 in 4 dimensions, their multiples and zeros.

    Cosines are multiples of 1/4, exactly, and nearly all of them tie.
    """
    rng = np.random.default_rng(seed)
    x = (rng.choice([-1, 1], (n, 4)) * rng.choice([0, 1, 2, 8], (n, 1))).astype(np.float32)
    found, scores = nearest(x[:5], blocks(x[:5], x, size), k)
    kept = min(k, n)
    assert (found[:, :kept] == brute(x[:5], x, k)).all()
    assert (found[:, kept:] == -1).all() and np.isneginf(scores[:, kept:]).all()


@pytest.mark.parametrize("fast", [False, True])
def test_rounding_decides_nothing(fast):
    """Candidates whose cosines differ by less than float32 holds are still in the right order."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal((1, 64)).astype(np.float32)
    x = (query + 1e-4 * rng.standard_normal((500, 64))).astype(np.float32)
    assert (nearest(query, blocks(query, x, 50, fast), 11)[0] == brute(query, x, 11)).all()


@pytest.mark.parametrize("fast", [False, True])
def test_the_order_of_the_candidates_shows_nowhere(fast):
    """A crowd of near-duplicates, each of them twice, so that ties have to be decided."""
    rng = np.random.default_rng(4)
    centres = rng.standard_normal((6, 32))[rng.integers(0, 6, 350)]
    x = np.tile((centres + 1e-2 * rng.standard_normal((350, 32))).astype(np.float32), (2, 1))
    unit = Directions.of(x[:40]).unit
    directions = Directions(unit, unit.bfloat16() if fast else None)
    orders = (np.arange(700), rng.permutation(700))
    for order in orders:
        parts = np.array_split(order, 3)
        found = nearest(x[:40], (partial(Vectors, directions, x[p], p) for p in parts), 11)[0]
        assert (found == brute(x[:40], x, 11)).all()


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_lengths_do_not_matter(scale):
    x = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
    longer = (x * np.float32(scale) * np.linspace(1, 3, 100, dtype=np.float32)[:, None]).astype(
        np.float32
    )
    found = nearest(longer[:10], blocks(longer[:10], longer, 30), 5)[0]
    assert (found == brute(x[:10], x, 5)).all()


@pytest.mark.parametrize("fast", [False, True])
def test_one_thread_and_two_find_the_same_and_each_block_is_scored_on_one(fast):
    import torch

    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, 24)).astype(np.float32)
    before, found, seen = torch.get_num_threads(), [], []

    def counted(read):
        seen.append(torch.get_num_threads())
        return read()

    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            each = (partial(counted, read) for read in blocks(x[:30], x, 32, fast))
            found.append(nearest(x[:30], each, 5))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    assert seen == [1] * 26
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (found[0][0] == brute(x[:30], x, 5)).all()
