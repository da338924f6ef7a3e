"""New codebooks under the old names: which code of a level is called what.

A tokenizer that is fitted anew finds much the same clusters and numbers them anew. Names can be
exchanged freely: where codebook vectors and prices are permuted as the codes are, every sum of
vectors stays what it was. So each level takes the names with which most items keep their code, a
maximum-weight matching of old and new codes by the items they share (H. W. Kuhn, "The Hungarian
method for the assignment problem", Naval Research Logistics Quarterly 2, 1955).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

    Fitted = TypeVar("Fitted", bound=ResidualTokenizer)

LARGEST_TABLE = 1 << 24
"""Pairs of codes up to which they are counted in a table; beyond, they are sorted."""


@dataclass(frozen=True)
class CoOccurrence:
    """How many items have which old and which new code, of the pairs that occur.

    Attributes:
        old: Shape (c,), int64: the old code of each pair.
        new: Shape (c,), int64: the new code of each pair; pairs are distinct, and in order.
        items: Shape (c,), float64: items of each pair, above 0; a sum of weights where they weigh.
    """

    old: np.ndarray
    new: np.ndarray
    items: np.ndarray

    @classmethod
    def of(
        cls,
        old: np.ndarray,
        new: np.ndarray,
        sizes: tuple[int, int],
        weights: np.ndarray | None = None,
    ) -> CoOccurrence:
        """Count pairs of codes of the same items.

        Args:
            old: Shape (n,), integers in `[0, sizes[0])`.
            new: Shape (n,), integers in `[0, sizes[1])`.
            sizes: How many old and new codes there are.
            weights: Shape (n,): what each item counts; 1 if None.
        """
        pairs = old.astype(np.int64) * sizes[1] + new
        if sizes[0] * sizes[1] <= LARGEST_TABLE:
            found = np.arange(sizes[0] * sizes[1])
            items = np.bincount(pairs, weights, minlength=len(found))
        else:
            found, where = np.unique(pairs, return_inverse=True)
            items = np.bincount(where, weights, minlength=len(found))
        occur = items > 0
        return cls(*np.divmod(found[occur], sizes[1]), items[occur].astype(np.float64))


def best_names(together: CoOccurrence, old_size: int, new_size: int) -> np.ndarray:
    """Name every new code after the old one, so that most items keep their code.

    Names without a partner go to the codes without one, both ascending. Where there are more new
    codes than old ones, the names beyond the old are new.

    Args:
        together: Old and new codes of the items that both tokenizers know.
        old_size: How many old codes there are.
        new_size: How many new codes there are.

    Returns:
        Shape (new_size,), int64: the name of each new code, each in
        `[0, max(old_size, new_size))` and no two the same.
    """
    names = np.full(new_size, -1, dtype=np.int64)
    if len(together.items):
        old, new = _matching(together, old_size, new_size)
        names[new] = old
    rest = np.flatnonzero(names < 0)
    names[rest] = np.setdiff1d(np.arange(max(old_size, new_size)), names)[: len(rest)]
    return names


def _matching(
    together: CoOccurrence, old_size: int, new_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of codes that share most items in all, each code in at most one pair.

    Every old code has a column of its own beside those of the new codes, which stands for having no
    partner. So there is always a full matching, and only pairs that occur need be written down.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    most, alone = 2 * together.items.max(), np.arange(old_size)
    costs = csr_matrix(
        (
            np.concatenate([most - together.items, np.full(old_size, most)]),
            (
                np.concatenate([together.old, alone]),
                np.concatenate([together.new, new_size + alone]),
            ),
        ),
        shape=(old_size, new_size + old_size),
    )
    old, new = min_weight_full_bipartite_matching(costs)
    partners = new < new_size
    return old[partners].astype(np.int64), new[partners].astype(np.int64)


def alignment(
    old: np.ndarray, new: np.ndarray, old_sizes: Sequence[int], new_sizes: Sequence[int]
) -> list[np.ndarray]:
    """Name the codes of new codebooks after the old ones, level by level.

    Codebooks of other sizes are renamed as far as that goes: a new codebook keeps the names from 0
    to its size. Levels that the old tokenizer does not have keep their names.

    Args:
        old: Shape (n, L), the old tokenizer's codes of some items.
        new: Shape (n, M), the new tokenizer's codes of the same items.
        old_sizes: The L old codebook sizes.
        new_sizes: The M new codebook sizes.

    Returns:
        M permutations, shape (K_l,) int64: the name of each new code.
    """
    names = []
    for level, size in enumerate(new_sizes):
        if level >= len(old_sizes):
            names.append(np.arange(size))
            continue
        known = min(int(old_sizes[level]), int(size))  # no other old name can be given
        there = old[:, level] < known
        together = CoOccurrence.of(old[there, level], new[there, level], (known, size))
        names.append(best_names(together, known, size))
    return names


def renamed(codes: np.ndarray, names: Sequence[np.ndarray]) -> np.ndarray:
    """Write codes under other names: (n, M) → (n, M) int32."""
    columns = [name[codes[:, level]] for level, name in enumerate(names)]
    return np.stack(columns, axis=1).astype(np.int32)


def relabel(tokenizer: Fitted, names: Sequence[np.ndarray]) -> Fitted:
    """Return a tokenizer whose codes have other names, and which decodes them to the same vectors.

    Args:
        tokenizer: A fitted one of any kind; unchanged.
        names: L permutations (K_l,): the name of each of its codes, as `alignment` gives them.
    """
    import torch

    from semantic_ids.quantization.residual import ResidualQuantizer

    of_name = [torch.from_numpy(np.argsort(name)).to(tokenizer.device) for name in names]
    quantizer = tokenizer.quantizer
    renamed_one = copy.copy(tokenizer)
    renamed_one.quantizer = ResidualQuantizer(
        [book[code] for book, code in zip(quantizer.codebooks, of_name, strict=True)],
        [price[code] for price, code in zip(quantizer.prices, of_name, strict=False)],
    )
    return renamed_one
