"""New codes under old names: the best there are, and vectors that stay what they were."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from semantic_ids.publishing.relabel import (
    CoOccurrence,
    alignment,
    best_names,
    relabel,
    renamed,
)
from semantic_ids.tokenizers import load_tokenizer
from tests.tokenizers.conftest import PREPROCESS, SIZES, VARIANTS, fitted


def drawn(n: int, sizes: tuple[int, ...], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, k, n) for k in sizes], axis=1).astype(np.int32)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("old_size", "new_size"), [(5, 5), (3, 5), (5, 3), (1, 4)])
def test_no_other_names_keep_more_items(old_size: int, new_size: int, seed: int) -> None:
    old, new = drawn(40, (old_size, new_size), seed).T
    names = best_names(CoOccurrence.of(old, new, (old_size, new_size)), old_size, new_size)
    assert len(set(names)) == new_size and set(names) <= set(range(max(old_size, new_size)))
    most = max(
        int((np.array(one)[new] == old).sum())
        for one in permutations(range(max(old_size, new_size)), new_size)
    )
    assert int((names[new] == old).sum()) == most


@pytest.mark.parametrize("size", [300, 5000])
def test_large_codebooks_keep_what_a_dense_assignment_keeps(size: int) -> None:
    """5,000 codes are beyond the table of pairs."""
    rng = np.random.default_rng(1)
    old = rng.integers(0, size, 20_000)
    new = np.where(rng.random(len(old)) < 0.4, old[::-1], rng.permutation(size)[old])
    together = CoOccurrence.of(old, new, (size, size))
    table = np.zeros((size, size), dtype=np.float32)
    np.add.at(table, (old, new), 1)
    assert (table[together.old, together.new] == together.items).all()
    assert together.items.sum() == len(old)
    kept = (best_names(together, size, size)[new] == old).sum()
    assert kept == table[linear_sum_assignment(table, maximize=True)].sum()


def test_names_without_a_partner_ascend() -> None:
    together = CoOccurrence.of(np.array([2, 2]), np.array([1, 1]), (4, 4))
    assert best_names(together, 4, 4).tolist() == [0, 2, 1, 3]
    assert best_names(CoOccurrence.of(*np.empty((2, 0), int), (2, 3)), 2, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize("old_sizes", [(6, 5), (4, 9), (6,), (6, 5, 3)])
def test_alignment_permutes_codebooks_of_other_sizes_and_levels(old_sizes) -> None:
    sizes = (6, 5)
    old, new = drawn(200, old_sizes, 1), drawn(200, sizes, 2)
    names = alignment(old, new, old_sizes, sizes)
    assert [sorted(name.tolist()) for name in names] == [list(range(k)) for k in sizes]
    codes = renamed(new, names)
    for level in range(min(len(old_sizes), 2)):
        before, after = (np.mean(c[:, level] == old[:, level]) for c in (new, codes))
        assert after >= before
    if len(old_sizes) == 1:
        assert (codes[:, 1] == new[:, 1]).all()


@pytest.mark.parametrize("preprocess", PREPROCESS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_relabelled_codebooks_decode_to_the_same_vectors(
    vectors: np.ndarray, variant, preprocess, tmp_path
) -> None:
    kind, options = variant
    tokenizer = fitted(kind, vectors, preprocess=preprocess, options=options)
    rng = np.random.default_rng(3)
    names = [rng.permutation(size) for size in SIZES]
    other = relabel(tokenizer, names)
    codes = tokenizer.encode(vectors)
    assert (other.encode(vectors) == renamed(codes, names)).all()
    assert (renamed(codes, names) != codes).any(axis=0).all()
    assert other.decode(renamed(codes, names)) == pytest.approx(tokenizer.decode(codes))
    assert other.distortion(vectors, renamed(codes, names)) == pytest.approx(
        tokenizer.distortion(vectors, codes), rel=1e-5
    )
    assert (tokenizer.encode(vectors) == codes).all()  # it is unchanged
    other.save(tmp_path / "other")
    assert (load_tokenizer(tmp_path / "other").encode(vectors) == other.encode(vectors)).all()


def test_prices_go_with_their_codes(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors, options={"balance": 1.3})
    names = [np.random.default_rng(4).permutation(size) for size in SIZES]
    other = relabel(tokenizer, names)
    for before, after, name in zip(
        tokenizer.quantizer.prices, other.quantizer.prices, names, strict=True
    ):
        assert before.any() and (after.numpy()[name] == before.numpy()).all()
    codes = renamed(tokenizer.encode(vectors), names)
    assert (other.encode(vectors) == codes).all()


def test_a_refit_is_aligned_to_the_names_it_had(vectors: np.ndarray) -> None:
    """The same fit under shuffled names finds its names again."""
    tokenizer = fitted("rq_kmeans", vectors)
    codes = tokenizer.encode(vectors)
    shuffled = relabel(tokenizer, [np.random.default_rng(5).permutation(k) for k in SIZES])
    names = alignment(codes, shuffled.encode(vectors), SIZES, SIZES)
    assert (relabel(shuffled, names).encode(vectors) == codes).all()
