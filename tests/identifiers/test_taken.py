"""New items beside IDs that are out: none is given again, and what is free is given best."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.identifiers import TokenizerCosts, deduplicate, overflow, reassign
from semantic_ids.identifiers.taken import Taken

SIZES = (3, 2, 4)


def placed(tokenizer, vectors, taken, strategy="reassign", candidates=4):
    costs = TokenizerCosts(tokenizer, vectors)
    return deduplicate(
        tokenizer.encode(vectors), costs, strategy=strategy, candidates=candidates, taken=taken
    )


def vectors_of(n, seed, dim=3, spread=1.0):
    return (spread * np.random.default_rng(seed).normal(size=(n, dim))).astype(np.float32)


def some_ids(sizes, share, seed):
    every = np.array(list(product(*map(range, sizes))), dtype=np.int32)
    return every[np.random.default_rng(seed).random(len(every)) < share]


@given(st.sets(st.integers(0, 23)), st.integers(0, 5))
def test_what_is_free_and_what_is_held(full, prefix):
    ids = np.array([[k // 8, k // 4 % 2, k % 4] for k in full], dtype=np.int32).reshape(-1, 3)
    taken = Taken.of(ids, SIZES)
    free = [last for last in range(4) if prefix * 4 + last not in full]
    assert taken.free(prefix).tolist() == free
    assert taken.room(np.array([prefix])).tolist() == [len(free)]
    assert taken.holds(np.arange(24)).tolist() == [k in full for k in range(24)]


@pytest.mark.parametrize("seed", range(12))
def test_new_items_get_the_best_of_all_free_codes(make_tokenizer, seed):
    """Under every prefix: the best of all ways to give its free codes to those who are there."""
    tokenizer = make_tokenizer((2, 6), seed=seed)
    vectors, taken = vectors_of(5, seed), some_ids((2, 6), 0.3, seed)
    result = placed(tokenizer, vectors, taken)
    out = set(map(tuple, taken.tolist()))
    for prefix in range(2):
        rows = np.flatnonzero(result.codes[:, 0] == prefix)
        free = [k for k in range(6) if (prefix, k) not in out]
        under = result.codes[rows, :1]
        costs = tokenizer.level_costs(vectors[rows], under).astype(np.float64)
        best = min(
            sum(costs[i, k] for i, k in enumerate(choice))
            for choice in permutations(free, len(rows))
        )
        paid = sum(costs[i, k] for i, k in enumerate(result.codes[rows, 1]))
        assert paid == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("kind", ["exhaustive", "short-sighted", "blind"])
@pytest.mark.parametrize("share", [0.2, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(4))
def test_crowded_prefixes_spill_to_free_ids_alone(make_tokenizer, kind, share, seed):
    tokenizer = make_tokenizer((4, 3, 5), seed=seed, kind=kind)
    taken = some_ids((4, 3, 5), share, seed)
    taken = np.unique(np.concatenate([taken, tokenizer.all_codes[:5]]), axis=0)  # one is full
    n = 60 - len(taken)
    vectors = (tokenizer.all_vectors[2] + vectors_of(n, seed, spread=0.1)).astype(np.float32)
    result = placed(tokenizer, vectors, taken)
    every = sorted(map(tuple, np.concatenate([result.codes, taken]).tolist()))
    assert every == sorted(product(range(4), range(3), range(5)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.4, 0.8]))
def test_large_groups_come_to_the_same_cost(make_tokenizer, seed, share):
    """The way without a table of all costs leads to the same total as the one with it."""
    tokenizer = make_tokenizer((2, 8), seed=seed)
    taken = some_ids((2, 8), share, seed)
    vectors = vectors_of(min(12, 16 - len(taken)), seed)
    dense = placed(tokenizer, vectors, taken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overflow, "DENSE_CELLS", 1)
        patch.setattr(reassign, "DENSE_CELLS", 1)
        sparse = placed(tokenizer, vectors, taken)
    assert sparse.distortion_after == pytest.approx(dense.distortion_after, rel=1e-6)


def test_nothing_taken_changes_nothing(make_tokenizer):
    tokenizer, vectors = make_tokenizer(SIZES, seed=3), vectors_of(20, 3)
    none = np.zeros((0, 3), np.int32)
    assert (placed(tokenizer, vectors, none).codes == placed(tokenizer, vectors, None).codes).all()


def test_too_few_free_ids_are_refused_with_the_sizes(make_tokenizer):
    tokenizer = make_tokenizer((2, 2))
    taken = np.array([[0, 0], [1, 0], [1, 1]], dtype=np.int32)
    with pytest.raises(BadInput, match="2x2 make 4 IDs, of which 3 were issued, so 2 new items"):
        placed(tokenizer, vectors_of(2, 0), taken)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=12),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12),
)
def test_a_suffix_goes_on_after_the_largest_that_was_given(make_tokenizer, before, coming):
    tokenizer = make_tokenizer((2, 2))
    given_first = [(*codes, 2 * before[:row].count(codes)) for row, codes in enumerate(before)]
    taken = np.array(given_first, dtype=np.int32).reshape(-1, 3)
    costs = TokenizerCosts(tokenizer, vectors_of(len(coming), 0))
    result = deduplicate(
        np.array(coming, dtype=np.int32), costs, strategy="suffix", candidates=1, taken=taken
    )
    expected = []
    for row, codes in enumerate(coming):
        largest = max((suffix for *own, suffix in given_first if tuple(own) == codes), default=-1)
        expected.append((*codes, largest + 1 + coming[:row].count(codes)))
    assert list(map(tuple, result.codes.tolist())) == expected
    assert result.sizes[-1] == max(suffix for *_, suffix in given_first + expected) + 1
