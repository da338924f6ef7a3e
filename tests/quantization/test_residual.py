"""The mechanics against brute force in float64."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.quantization import residual
from semantic_ids.quantization.residual import ResidualQuantizer


def quantizer(sizes, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ResidualQuantizer(
        [torch.randn(k, dim, generator=generator) / (level + 1) for level, k in enumerate(sizes)]
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(1, 6),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 999),
)
def test_best_codes_are_those_of_an_exhaustive_search(sizes, dim, t, distinct, seed):
    q = quantizer(sizes, dim, seed)
    z = torch.randn(9, dim, generator=torch.Generator().manual_seed(seed + 1))
    every = np.array(list(itertools.product(*map(range, sizes))))
    sums = sum(c.double().numpy()[every[:, level]] for level, c in enumerate(q.codebooks))
    costs = ((z.double().numpy()[:, None] - sums) ** 2).sum(-1)
    if distinct:
        costs = costs.reshape(len(z), -1, sizes[-1]).min(2)
    expected = np.sort(costs, axis=1)[:, :t]
    codes, found = q.best_codes(z, t, distinct)
    there = expected.shape[1]
    np.testing.assert_allclose(found[:, :there], expected, rtol=1e-4, atol=1e-4)
    assert torch.isinf(found[:, there:]).all() and (codes[:, there:] == -1).all()


def test_the_beam_is_at_least_as_good_as_the_greedy_code_where_it_cannot_be_exhaustive():
    q = quantizer((64, 64, 64, 64), 8)
    z = torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
    codes, costs = q.best_codes(z, 8)
    greedy = q.encode(z)
    own = ((z - q.decode(greedy)) ** 2).sum(1)
    assert (costs[:, 0] <= own + 1e-4).all() and (costs[:, 0] < own - 1e-3).any()
    np.testing.assert_allclose(
        ((z[:, None] - q.decode(codes.reshape(-1, 4)).reshape(200, 8, 8)) ** 2).sum(-1),
        costs,
        atol=1e-3,
    )


def test_the_search_does_not_depend_on_how_many_rows_are_searched_at_once(monkeypatch):
    q = quantizer((16, 16, 16), 8)
    z = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    whole = q.best_codes(z, 5)
    monkeypatch.setattr("semantic_ids.quantization.residual.BEAM_CELLS", 1)
    parts = q.best_codes(z, 5)
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])


def test_equal_codes_are_chosen_and_listed_in_the_order_of_their_numbers():
    q = ResidualQuantizer([torch.zeros(3, 2), torch.zeros(4, 2)])
    z = torch.ones(2, 2)
    assert q.encode(z).tolist() == [[0, 0], [0, 0]]
    codes, costs = q.best_codes(z, 12)
    assert codes[0].tolist() == [[a, b] for a in range(3) for b in range(4)] and (costs == 2).all()


def test_small_distances_far_from_the_origin_keep_their_order():
    """What is left over is what counts, not the length of the vector."""
    centre = torch.full((1, 16), 30.0)
    offsets = 0.05 * torch.randn(8, 16, generator=torch.Generator().manual_seed(2))
    q = ResidualQuantizer([centre, offsets])
    z = centre + offsets
    costs = q.last_level_costs(z, torch.zeros(8, 1, dtype=torch.int64))
    assert costs.argmin(1).tolist() == list(range(8)) and costs.diagonal().max() < 1e-3


@pytest.mark.parametrize("width", [0, 1, 2, 3])
def test_decode_sums_the_levels_given(width):
    q = quantizer((4, 3, 2), 5)
    codes = torch.tensor([[3, 2, 1], [0, 1, 0]])[:, :width]
    expected = torch.zeros(2, 5)
    for level in range(width):
        expected += q.codebooks[level][codes[:, level]]
    torch.testing.assert_close(q.decode(codes), expected)


@pytest.mark.parametrize("sizes", [(6, 5, 4), (7, 3), (5,)])
@pytest.mark.parametrize("distinct", [False, True])
def test_closed_prefixes_are_looked_up_as_they_are_searched_for(sizes, distinct, monkeypatch):
    q = quantizer(sizes, 6)
    z = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    prefixes = int(np.prod(sizes[:-1]))
    excluded = torch.arange(0, prefixes, 2)
    looked_up = q.best_codes(z, 7, distinct, excluded)
    monkeypatch.setattr("semantic_ids.quantization.residual.LARGEST_TABLE", 0)
    searched = q.best_codes(z, 7, distinct, excluded)
    assert torch.equal(looked_up[0], searched[0]) and torch.equal(looked_up[1], searched[1])
    keys = looked_up[0][:, :, 0] * (sizes[1] if len(sizes) > 2 else 1) + (
        looked_up[0][:, :, 1] if len(sizes) > 2 else 0
    )
    found = torch.isfinite(looked_up[1])
    assert (keys[found] % 2 == 1).all() and found.any() == (prefixes > 1)


@pytest.mark.parametrize("p", [0, 1, 2, 3])
def test_codes_and_prefixes_decode_to_the_sum_of_their_vectors_bit_for_bit(p):
    q = quantizer((5, 3, 7), 11)
    codes = torch.stack([torch.arange(40) % size for size in q.sizes], 1)[:, :p]
    expected = np.zeros((40, 11), dtype=np.float32)
    for level in range(p):
        expected += q.codebooks[level].numpy()[codes[:, level]]
    np.testing.assert_array_equal(q.decode(codes).numpy(), expected)


@pytest.mark.parametrize("sizes", [(40, 30, 50), (6, 5), (9,), (7, 8, 6, 5)], ids=str)
@pytest.mark.parametrize("beam", [1, 3])
def test_products_that_are_not_held_are_computed_for_the_codes_at_hand(sizes, beam, monkeypatch):
    held = quantizer(sizes, 8, seed=4)
    z = torch.randn(70, 8, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(residual, "HELD_PRODUCTS", 0)
    computed = quantizer(sizes, 8, seed=4)
    assert computed.holds_products == (len(sizes) == 1) and held.holds_products
    assert torch.equal(held.encode(z, beam), computed.encode(z, beam))
    excluded = torch.arange(0, int(np.prod(sizes[:-1])), 3) if len(sizes) > 1 else None
    expected, found = (q.best_codes(z, 6, True, excluded) for q in (held, computed))
    assert torch.equal(expected[0], found[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("products", [0, 1 << 28])
def test_the_search_does_not_depend_on_what_is_held_at_a_time(products, monkeypatch):
    """Neither on how many rows come at once, nor on how large tables and blocks are."""
    monkeypatch.setattr(residual, "HELD_PRODUCTS", products)
    q = quantizer((64, 32, 16), 8)
    z = torch.randn(900, 8, generator=torch.Generator().manual_seed(1))
    whole = (q.encode(z, 3), *q.best_codes(z, 5))
    monkeypatch.setattr(residual, "TABLE_CELLS", 1)
    monkeypatch.setattr(residual, "BEAM_CELLS", 64 * 7)
    for some in (z, z[:300], z[:256]):
        parts = (q.encode(some, 3), *q.best_codes(some, 5))
        assert all(torch.equal(a[: len(some)], b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("priced", [False, True])
def test_all_rows_at_once_get_the_codes_that_blocks_of_rows_get(beam, priced):
    rng = torch.Generator().manual_seed(5)
    books = [torch.randn(k, 6, generator=rng) for k in (8, 12, 16)]
    prices = [torch.rand(len(c), generator=rng) for c in books] if priced else []
    q, z = ResidualQuantizer(books, prices), torch.randn(500, 6, generator=rng)
    assert torch.equal(q.encode_at_once(z, beam), q.encode(z, beam))


def test_tables_are_made_once_and_only_for_who_searches(monkeypatch):
    made = []
    products = residual._products
    monkeypatch.setattr(residual, "_products", lambda a, b: made.append(1) or products(a, b))
    q = quantizer((5, 4, 3), 6)
    z = torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    q.decode(torch.zeros((7, 3), dtype=torch.int64))
    assert not made
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: q.encode(z, 2), range(8)))
    assert len(made) == 3 and all(torch.equal(codes, found[0]) for codes in found)


@pytest.mark.parametrize("fast", [False, True])
def test_rough_codes_are_nearly_as_good_as_the_nearest(fast, monkeypatch):
    monkeypatch.setattr(residual, "cpu_has_bfloat16", lambda: fast)
    q = quantizer((32, 32), 16)
    q.prices = [torch.full((32,), 1e3).index_fill(0, torch.tensor([3]), 0.0) for _ in range(2)]
    z = torch.randn(500, 16, generator=torch.Generator().manual_seed(3))
    plain = ResidualQuantizer(q.codebooks).encode(z)
    rough = q.encode_roughly(z)
    assert torch.equal(rough, plain) is not fast  # bfloat16 rounds some to another code
    assert (rough == plain).all(1).float().mean() > 0.8
    assert q.errors(z, rough).mean() < 1.01 * q.errors(z, plain).mean()
    torch.testing.assert_close(q.encode_roughly(z[:7]), rough[:7])
