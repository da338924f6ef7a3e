"""Whether items that share a prefix belong together.

By their vectors, and by labels from outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from semantic_ids.arrays import chunks, in_threads, read_rows
from semantic_ids.codes import keys
from semantic_ids.metrics.rows import ROWS, dots, unit
from semantic_ids.progress import Progress


def cohesion(vectors: np.ndarray, codes: np.ndarray, sizes: Sequence[int]) -> dict[int, float]:
    """Return the mean cosine of all pairs of items that share a prefix, for each length of prefix.

    With unit vectors u (zero where x is zero), S_g their sum over prefix group g and m_g its size,
    the mean over all ordered pairs is Σ_g (‖S_g‖² − Σ_{i∈g} ‖u_i‖²) / Σ_g m_g (m_g − 1), which
    needs no pair. The items are read in the order of their codes, in which the groups of every
    length are consecutive and nest, so that only the open group of each length is held.

    Args:
        vectors: Shape (n, D).
        codes: Shape (n, L), without suffix.
        sizes: L codebook sizes.

    Returns:
        Length p → mean cosine, absent where no pair shares so long a prefix; 0 stands for all
        pairs: what a random one is expected to have.
    """
    key = keys(codes, sizes)
    order = np.argsort(key, kind="stable")
    divisors = {p: math.prod(sizes[p:]) for p in range(len(sizes), -1, -1)}
    sums, own = {p: _GroupSums() for p in divisors}, 0.0

    def work(part: slice) -> tuple[slice, float, dict[int, _Piece]]:
        u, group, pieces = unit(read_rows(vectors, order[part])), key[order[part]], {}
        squares = float(dots(u, u).sum())
        for (
            p,
            divisor,
        ) in divisors.items():  # from the longest: its sums are what the shorter ones sum up
            u, first = _sum_runs(u, group // divisor)
            group = group[first]
            pieces[p] = _Piece.of(u, group // divisor)
        return part, squares, pieces

    with Progress("evaluate: cohesion", total=len(order)) as progress:
        for part, squares, pieces in in_threads(work, chunks(len(order), ROWS)):
            own += squares
            for p, piece in pieces.items():
                sums[p].add(piece)
            progress.advance(part.stop - part.start)
    pairs = {p: _ordered_pairs(key // divisor) for p, divisor in divisors.items()}
    return {p: (sums[p].total - own) / pairs[p] for p in sorted(divisors) if pairs[p]}


@dataclass(frozen=True)
class _Piece:
    """A run of consecutive groups.

    The sums of the first and the last one, which may continue elsewhere, and Σ ‖S_g‖² of those
    between.
    """

    first: np.ndarray
    first_group: int
    between: float
    last: np.ndarray
    last_group: int
    groups: int

    @classmethod
    def of(cls, sums: np.ndarray, groups: np.ndarray) -> _Piece:
        between = float(dots(sums[1:-1], sums[1:-1]).sum())
        return cls(
            sums[0].copy(), int(groups[0]), between, sums[-1].copy(), int(groups[-1]), len(groups)
        )


class _GroupSums:
    """Σ_g ‖S_g‖² over consecutive groups, which come in pieces."""

    def __init__(self) -> None:
        self._finished, self._open, self._group = 0.0, np.zeros(0), -1

    def add(self, piece: _Piece) -> None:
        """Take in the next groups: the first may continue the open one, the last stays open."""
        if piece.first_group == self._group:
            self._open = self._open + piece.first
        else:
            self._close(piece.first)
        if piece.groups > 1:
            self._finished += piece.between
            self._close(piece.last)
        self._group = piece.last_group

    def _close(self, following: np.ndarray) -> None:
        self._finished, self._open = self.total, following

    @property
    def total(self) -> float:
        """The sum, the open group included."""
        return self._finished + float(self._open @ self._open)


def _sum_runs(u: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the rows of each run of equal groups.

    (m, D), (m,) → (g, D), and the g places where the runs begin.

    A product with a sparse matrix of ones is many times faster here than `np.add.reduceat`.
    """
    from scipy.sparse import csr_array

    first = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    if len(first) == len(groups):
        return u, first
    ones = csr_array(
        (np.ones(len(groups)), np.arange(len(groups)), np.append(first, len(groups))),
        shape=(len(first), len(groups)),
    )
    return ones @ u, first


def _ordered_pairs(groups: np.ndarray) -> int:
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1)).sum())


def agreement(
    codes: np.ndarray, sizes: Sequence[int], labels: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """Hold the prefixes of each length against labels.

    Purity is the share of items whose label is the most frequent one under their prefix (Manning,
    Raghavan and Schütze, Introduction to Information Retrieval, 16.3), which can only grow with
    longer prefixes; NMI, normalised by the arithmetic mean of the entropies, has its price for
    splitting.

    Args:
        codes: Shape (n, L), without suffix.
        sizes: L codebook sizes.
        labels: Name → shape (n,), int: number of each item's label, −1 where it has none. Items
            without a label are left out.
    """
    metrics = {}
    for name, label in labels.items():
        known = label >= 0
        for p in range(1, len(sizes) + 1 if known.any() else 1):
            metrics[f"hierarchy.purity.{name}.{p}"], metrics[f"hierarchy.nmi.{name}.{p}"] = _agree(
                label[known], keys(codes[known, :p], sizes)
            )
    return metrics


def _agree(label: np.ndarray, prefix: np.ndarray) -> tuple[float, float]:
    from sklearn.metrics import normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    prefix = np.unique(prefix, return_inverse=True)[1]
    table = contingency_matrix(label, prefix, sparse=True)
    return float(table.max(axis=0).sum() / len(label)), float(
        normalized_mutual_info_score(label, prefix)
    )
