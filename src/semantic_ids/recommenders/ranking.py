"""Recall, NDCG and MRR of lists in which one thing is sought, counted on items.

A ranked ID stands for all n items that have it, and says nothing of their order. So what is counted
is the mean over all orders of the items within each ID: the target is at each of the ranks
before + 1 … before + n with probability 1 / n, where `before` items belong to the IDs ahead. With
g(r) the gain at rank r (1 for Recall, 1 / log2(r + 1) for NDCG with one relevant item, 1 / r for
the reciprocal rank) the expectation at k is

    (1 / n) · Σ g(r)    over r = before + 1 … min(before + n, k).

With unique IDs n is 1 and this is the plain metric. To count the ID as a hit when any of its items
is sought (`counting_ids`) claims more, the more IDs collide. A ranking of items is one of IDs that
have one item each.

NDCG: K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS
20(4), 2002. Expectations over ties: F. McSherry and M. Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores", ECIR 2008. That colliding IDs
inflate what is reported: arXiv:2605.25330.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

MEASURES = ("recall", "ndcg", "mrr")


class Ranker(Protocol):
    """What ranks the items themselves."""

    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """Return the items most likely to come next.

        Args:
            histories: Shape (b, T), int64: rows of items in order, padded on the right with −1.
            top: How many.

        Returns:
            Items (b, top) int64, the best first, −1 where there are fewer; and their scores
            (b, top), −∞ there.
        """
        ...


@dataclass(frozen=True, eq=False)
class Places:
    """Where the targets stand in their lists.

    Attributes:
        before: Shape (t,), int32: items of the IDs ahead of the target's.
        among: Shape (t,), int32: items that its ID has; 0 where it is not in the list.
        rank: Shape (t,), int32: IDs ahead of it.
    """

    before: np.ndarray
    among: np.ndarray
    rank: np.ndarray

    @classmethod
    def joined(cls, parts: Iterable[Places]) -> Places:
        """Put the places of several batches together."""
        columns = [(part.before, part.among, part.rank) for part in parts]
        nothing = (np.zeros(0, np.int32),) * 3
        return cls(*(np.concatenate(of) for of in zip(nothing, *columns, strict=True)))

    def __len__(self) -> int:
        return len(self.before)

    def expected(self, ks: Sequence[int]) -> dict[str, np.ndarray]:
        """Return each measure, its expectation over the items of each ID.

        Args:
            ks: At which lengths of the list.

        Returns:
            By name of the measure, shape (t, len(ks)), float64.
        """
        return _measures(self.before, self.among, ks)

    def counting_ids(self, ks: Sequence[int]) -> dict[str, np.ndarray]:
        """Return what is claimed where IDs are counted and not items: as `expected` does."""
        return _measures(self.rank, np.minimum(self.among, 1), ks)


def places(ranked: np.ndarray, targets: np.ndarray, sizes: np.ndarray | None = None) -> Places:
    """Find the targets in their lists.

    Args:
        ranked: Shape (b, W), integers: the IDs (or items) of each list, the best first, none of
            them twice; −1 where there are fewer.
        targets: Shape (b,), integers: the ID (or item) sought; −1 for one that cannot be found.
        sizes: Shape (b, W), integers: how many items each of the IDs stands for; 1 if None.
    """
    hits = (ranked == targets[:, None]) & (targets >= 0)[:, None]
    found, column = hits.any(axis=1), hits.argmax(axis=1)
    rows = np.arange(len(ranked))
    if sizes is None:
        before, among = column, found
    else:
        sizes = np.where(ranked >= 0, sizes, 0)
        before = (np.cumsum(sizes, axis=1) - sizes)[rows, column]
        among = np.where(found, sizes[rows, column], 0)
    return Places(*(np.where(found, of, 0).astype(np.int32) for of in (before, among, column)))


def _measures(before: np.ndarray, among: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the mean gain over ranks before + 1 … before + among, none of it beyond k."""
    ranks = np.arange(1, max(ks, default=0) + 1)
    gains = {"recall": np.ones(len(ranks)), "ndcg": 1 / np.log2(ranks + 1), "mrr": 1 / ranks}
    begin = np.minimum(before[:, None], ks)
    end = np.minimum((before.astype(np.int64) + among)[:, None], ks)
    found = {}
    for name in MEASURES:
        total = np.concatenate([[0.0], np.cumsum(gains[name])])
        found[name] = (total[end] - total[begin]) / np.maximum(among, 1)[:, None]
    return found
