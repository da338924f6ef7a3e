"""Items with the very same vector.

Told apart by item hash, which is the order of the rows, and by nothing else.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.hashing import item_hash, vector_hash
from semantic_ids.identifiers import TokenizerCosts, deduplicate
from semantic_ids.identifiers.placement import Placement


def ids_of(tokenizer, vectors, strategy="reassign", candidates=4):
    codes, costs = tokenizer.encode(vectors), TokenizerCosts(tokenizer, vectors)
    return deduplicate(codes, costs, strategy=strategy, candidates=candidates).codes


def by_vector(vectors, ids):
    """Vector → IDs of the items that have it, in row order."""
    found = defaultdict(list)
    for vector, code in zip(vectors, ids.tolist(), strict=True):
        found[vector.tobytes()].append(tuple(code))
    return found


def with_copies(n, distinct, seed):
    """Vectors of which few differ; the first are far commoner than the last."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(distinct, 3)).astype(np.float32)[
        (distinct * rng.random(n) ** 3).astype(int)
    ]


catalogues = {
    "sizes": st.sampled_from([(3, 3, 4), (4, 8), (30,), (2, 2, 2, 4)]),
    "kind": st.sampled_from(["exhaustive", "short-sighted"]),
    "n": st.integers(2, 30),
    "distinct": st.integers(1, 12),
    "seed": st.integers(0, 10**6),
}


@settings(max_examples=60, deadline=None)
@given(**catalogues)
def test_the_kth_item_of_a_vector_gets_the_same_id_wherever_the_others_are(
    make_tokenizer, sizes, kind, n, distinct, seed
):
    """Most of these vectors come more often than there are last-level codes, and spill over several
    prefixes.
    """
    tokenizer, vectors = (
        make_tokenizer(sizes, seed=seed % 7, kind=kind),
        with_copies(n, distinct, seed),
    )
    order = np.random.default_rng(seed).permutation(n)
    assert by_vector(vectors, ids_of(tokenizer, vectors)) == by_vector(
        vectors[order], ids_of(tokenizer, vectors[order])
    )


def identified(tokenizer, item_ids, vectors, strategy):
    """Item id → ID, with the rows brought into the order of the item hash first, as ingest does."""
    order = np.argsort(item_hash(item_ids))
    ids = ids_of(tokenizer, vectors[order], strategy)
    return {item_ids[row]: tuple(code) for row, code in zip(order, ids.tolist(), strict=True)}


@settings(max_examples=40, deadline=None)
@given(strategy=st.sampled_from(["reassign", "suffix"]), names=st.booleans(), **catalogues)
def test_the_same_items_get_the_same_ids_in_whatever_order_they_come(
    make_tokenizer, strategy, names, sizes, kind, n, distinct, seed
):
    tokenizer, vectors = (
        make_tokenizer(sizes, seed=seed % 7, kind=kind),
        with_copies(n, distinct, seed),
    )
    item_ids = [f"item {i}" if names else i for i in range(n)]
    order = np.random.default_rng(seed).permutation(n)
    ids = identified(tokenizer, item_ids, vectors, strategy)
    assert identified(tokenizer, [item_ids[row] for row in order], vectors[order], strategy) == ids
    assert len(set(ids.values())) == n
    for item, other in (
        (a, b)
        for a in range(n)
        for b in range(n)
        if a != b and vectors[a].tobytes() == vectors[b].tobytes()
    ):
        first, second = sorted(
            (item_ids[item], item_ids[other]), key=lambda name: item_hash([name])[0]
        )
        if strategy == "suffix":
            assert ids[first][:-1] == ids[second][:-1] and ids[first][-1] < ids[second][-1]
        elif ids[first][:-1] == ids[second][:-1]:
            costs = tokenizer.distortion(vectors[[item, item]], np.array([ids[first], ids[second]]))
            assert costs[0] <= costs[1]


@pytest.mark.parametrize("copies", [5, 6, 13, 45])
def test_one_vector_fills_prefix_after_prefix_in_the_order_of_its_items(make_tokenizer, copies):
    """Its own prefix first; then the others, the nearest first.

    In each, the cheapest code goes to the first item, and so on.
    """
    tokenizer = make_tokenizer((3, 3, 5))
    vector = np.float32(tokenizer.all_vectors[:1] + 0.01)
    errors = np.float32(((np.float64(vector) - tokenizer.all_vectors) ** 2).sum(axis=1)).reshape(
        9, 5
    )
    home = int(tokenizer.encode(vector)[0, :-1] @ [3, 1])
    prefixes = sorted(range(9), key=lambda prefix: (prefix != home, errors[prefix].min()))
    cheapest_of_all = [
        5 * prefix + code for prefix in prefixes for code in np.argsort(errors[prefix])
    ]
    ids = ids_of(tokenizer, np.repeat(vector, copies, axis=0), candidates=9) @ [15, 5, 1]
    assert ids.tolist() == cheapest_of_all[:copies]


def test_suffixes_count_up_in_the_order_of_the_items(make_tokenizer):
    tokenizer, vectors = make_tokenizer((2, 3)), with_copies(200, 9, 1)
    codes, ids, seen = (
        tokenizer.encode(vectors),
        ids_of(tokenizer, vectors, "suffix"),
        defaultdict(int),
    )
    for code, got in zip(codes.tolist(), ids.tolist(), strict=True):
        assert got == [*code, seen[tuple(code)]]
        seen[tuple(code)] += 1


def test_zeros_of_both_signs_are_one_vector(make_tokenizer):
    tokenizer = make_tokenizer((2, 2, 8))
    vectors = np.tile(np.float32([0.0, 1.0, -2.0]), (12, 1))
    signed = vectors.copy()
    signed[::2, 0] = -0.0
    np.testing.assert_array_equal(ids_of(tokenizer, signed), ids_of(tokenizer, vectors))


@pytest.mark.parametrize("copies", [40, 700])
def test_the_tokenizers_of_the_house_cost_equal_vectors_alike_in_every_batch(monkeypatch, copies):
    """A group of equal vectors, larger than the last codebook and than a batch of odd size.

    The first rows stay, the cheapest first.
    """
    from semantic_ids.tokenizers import fit_tokenizer

    monkeypatch.setattr(Placement, "batch_rows", property(lambda self: 37))
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(900, 24)).astype(np.float32)
    tokenizer = fit_tokenizer(vectors, codebook_sizes=(8, 16, 32), device="cpu", seed=1)
    equal = np.sort(rng.permutation(900)[:copies])
    vectors[equal] = vectors[equal[0]]
    codes, ids = tokenizer.encode(vectors), ids_of(tokenizer, vectors)
    assert len(np.unique(codes[equal], axis=0)) == 1
    stays = (ids[equal, :-1] == codes[equal, :-1]).all(axis=1)
    home = (codes[:, :-1] == codes[equal[0], :-1]).all(axis=1).sum()
    assert (home > 32) and not stays.all() and (np.diff(stays.astype(int)) <= 0).all()
    for prefix in np.unique(ids[equal, :-1], axis=0):
        mine = equal[(ids[equal, :-1] == prefix).all(axis=1)]
        assert (np.diff(tokenizer.distortion(vectors[mine], ids[mine])) >= -1e-4).all()


class RoundedCosts(TokenizerCosts):
    """Costs whose last bits depend on the place that an item has in a batch, as on a GPU."""

    calls = 0

    def _rounded(self, costs):
        RoundedCosts.calls += 1
        rng = np.random.default_rng(RoundedCosts.calls)
        ulps = rng.integers(-1, 2, costs.shape).astype(np.float32)
        return costs + ulps * np.spacing(np.where(np.isfinite(costs), costs, 0))

    def level_costs(self, rows, prefixes):
        return self._rounded(super().level_costs(rows, prefixes))

    def candidates(self, rows, t, excluded):
        codes, costs = super().candidates(rows, t, excluded)
        return codes, np.sort(self._rounded(costs), axis=1)

    def distortion(self, rows, codes):
        return self._rounded(super().distortion(rows, codes))


@pytest.mark.parametrize("stored", [True, False], ids=["hashes stored", "hashed when asked"])
@pytest.mark.parametrize("dense_cells", [0, 1 << 24])
@pytest.mark.parametrize("seed", range(4))
def test_rounding_never_tells_equal_vectors_apart(
    make_tokenizer, monkeypatch, seed, dense_cells, stored
):
    """Whatever the last bits are, the kth item of a vector gets the same ID: in groups, in overfull
    groups, in the offers made to those who leave, and in batches of any size.
    """
    monkeypatch.setattr("semantic_ids.identifiers.overflow.DENSE_CELLS", dense_cells)
    monkeypatch.setattr("semantic_ids.identifiers.overflow.FIRST_TURN", 5)
    monkeypatch.setattr("semantic_ids.identifiers.overflow.SMALLEST_TURN", 5)
    monkeypatch.setattr(Placement, "batch_rows", property(lambda self: 4))
    tokenizer, vectors = make_tokenizer((3, 3, 6), seed=seed), with_copies(50, 9, seed)
    codes = tokenizer.encode(vectors)
    expected = ids_of(tokenizer, vectors, candidates=2)
    assert (expected[:, :-1] != codes[:, :-1]).any()
    hashes = vector_hash(vectors) if stored else None
    for _ in range(5):
        costs = RoundedCosts(tokenizer, vectors, hashes)
        found = deduplicate(codes, costs, strategy="reassign", candidates=2)
        np.testing.assert_array_equal(found.codes, expected)
