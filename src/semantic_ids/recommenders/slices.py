"""Which targets are found, and which items are recommended, by how often they were learned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.errors import BadInput

SLICES = ("cold", "tail", "middle", "head")
BOUNDS = (5, 30)
"""Most training events of the tail and of the middle. Fixed numbers, not shares of the events: an
item's chance to be learned depends on how often it was seen, and items seen equally often are never
parted."""


def by_popularity(counts: np.ndarray, bounds: Sequence[int] = BOUNDS) -> dict[str, np.ndarray]:
    """Slice targets by how often their items are among the events learned from.

    Args:
        counts: Shape (t,), integers: training events of each target's item.
        bounds: Most of them in the tail, and in the middle.

    Returns:
        By name, which targets are in it, (t,) bool: `cold` those never learned from, `tail` those
        up to the first bound, `middle` up to the second, `head` the others. Each target is in one.

    Raises:
        BadInput: Bounds that do not ascend from at least 1.
    """
    if len(bounds) != 2 or not 1 <= bounds[0] < bounds[1]:
        raise BadInput(
            f"bounds of slices {list(bounds)}",
            where="judge.slices",
            expected="the most training events of the tail, then of the middle: two that ascend",
        )
    edges = (-1, 0, *bounds, np.inf)
    return {
        name: (counts > edges[place]) & (counts <= edges[place + 1])
        for place, name in enumerate(SLICES)
    }


class Recommended:
    """Counts how often each item is recommended, list after list.

    Args:
        items: Number of items in the catalogue.
        ks: At which lengths of the lists.
    """

    def __init__(self, items: int, ks: Sequence[int]) -> None:
        self.ks = tuple(ks)
        self.counts = np.zeros((len(self.ks), items), dtype=np.int64)

    def add(self, lists: np.ndarray) -> None:
        """Take in lists of items: shape (b, W), the best first, −1 where there are fewer."""
        for place, k in enumerate(self.ks):
            there = lists[:, :k][lists[:, :k] >= 0]
            self.counts[place] += np.bincount(there, minlength=self.counts.shape[1])

    def coverage(self) -> np.ndarray:
        """Return the share of the catalogue that is in at least one list: (len(ks),)."""
        return (self.counts > 0).mean(axis=1)

    def popularity(self, training_counts: np.ndarray) -> np.ndarray:
        """Return the mean training events of what is recommended: (len(ks),), NaN for nothing.

        It is the average recommendation popularity (H. Yin and others, "Challenging the Long Tail
        Recommendation", arXiv:1205.6700), over all places of all lists. Compared with that of the
        targets it says whether popular items are recommended more than they are wanted.

        Args:
            training_counts: Shape (n,): training events of each item.
        """
        given = self.counts.sum(axis=1)
        total = self.counts @ training_counts.astype(np.int64)
        return np.divide(total, given, out=np.full(len(given), np.nan), where=given > 0)

    def percentile(self, training_counts: np.ndarray) -> np.ndarray:
        """Return the mean share of the catalogue that is less popular: (len(ks),).

        As `popularity`, but a few very popular items do not decide it. Items that are equally
        popular count as half less popular.
        """
        shares = popularity_percentiles(training_counts)
        given = self.counts.sum(axis=1)
        total = (self.counts * shares).sum(axis=1)
        return np.divide(total, given, out=np.full(len(given), np.nan), where=given > 0)


def popularity_percentiles(training_counts: np.ndarray) -> np.ndarray:
    """Return for each item the share of the catalogue that is less popular, half of its equals
    with it: (n,) → (n,) float64.
    """
    _, number, times = np.unique(training_counts, return_inverse=True, return_counts=True)
    less = np.cumsum(times) - times
    return ((less + times / 2) / max(1, len(training_counts)))[number]
