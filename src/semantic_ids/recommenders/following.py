"""How often each item came after each other, as compressed sparse rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from semantic_ids.arrays import chunks, release, stretches
from semantic_ids.recommenders.histories import Histories

USERS = 1 << 16
"""Users whose pairs are counted together."""
PAIRS = 1 << 26
"""Different pairs that are held, in 1 GB. Beyond, each item keeps as many as are its share, those
of most weight."""


@dataclass(frozen=True, eq=False)
class Following:
    """Weights of pairs.

    Attributes:
        starts: Shape (n + 1,), int64: row a has the pairs starts[a] … starts[a + 1] − 1.
        items: Shape (p,), int64: what came after, ascending in each row.
        weights: Shape (p,), float64.
        decay: See `of`.
    """

    starts: np.ndarray
    items: np.ndarray
    weights: np.ndarray
    decay: float

    @classmethod
    def of(cls, histories: Histories, items: int, decay: float, window: int = 20) -> Following:
        """Count the pairs of all events learned from.

        Args:
            histories: Who had which items.
            items: Number of items n in the catalogue.
            decay: In [0, 1]. A pair g events apart weighs decay^(g − 1): 0 counts what came next
                alone.
            window: Pairs further apart are not counted.
        """
        keys: np.ndarray = np.zeros(0, np.int64)
        total: np.ndarray = np.zeros(0)
        for pairs, weight in _pairs(histories, items, decay, window):
            keys, number = np.unique(np.concatenate([keys, pairs]), return_inverse=True)
            total = np.bincount(number, np.concatenate([total, weight]), len(keys))
            if len(keys) > PAIRS:
                kept = _heaviest(keys // items, total, max(1, PAIRS // items))
                keys, total = keys[kept], total[kept]
        first = keys // items
        starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=items))])
        return cls(starts, keys - first * items, total, decay)

    def scores(
        self, histories: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Add up what follows the items of histories.

        Args:
            histories: Shape (b, T), rows of items; what weighs nothing is not looked at.
            weights: Shape (b, T), float64.

        Returns:
            Histories, items and scores of all pairs of which the score is not 0: (p,) each, by
            history and item.
        """
        user, column = np.nonzero(weights > 0)
        asked = histories[user, column]
        first, count = self.starts[asked], self.starts[asked + 1] - self.starts[asked]
        of = np.repeat(np.arange(len(asked)), count)
        edge = stretches(first, count)
        n = len(self.starts) - 1
        keys, number = np.unique(user[of] * n + self.items[edge], return_inverse=True)
        total = np.bincount(number, weights[user, column][of] * self.weights[edge], len(keys))
        return keys // n, keys % n, total


def _pairs(
    histories: Histories, items: int, decay: float, window: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield keys and weights of pairs, those of some users and one distance at a time."""
    for users in chunks(len(histories), USERS):
        begin, end = histories.starts[users], histories.cuts[users, 0]
        offset = int(begin[0])
        rows = np.asarray(histories.items[offset : int(end.max(initial=offset))]).astype(np.int64)
        release(histories.items)
        lengths = np.maximum(end - begin, 0)
        owner = np.repeat(np.arange(len(begin)), lengths)
        rows = rows[stretches(begin - offset, lengths)]
        for apart in range(1, min(window, int(lengths.max(initial=0)) - 1) + 1):
            weight = float(decay) ** (apart - 1)
            if not weight:
                break
            same = owner[apart:] == owner[:-apart]
            keys = rows[:-apart][same] * items + rows[apart:][same]
            yield keys, np.full(len(keys), weight)


def _heaviest(group: np.ndarray, weight: np.ndarray, most: int) -> np.ndarray:
    """Return which pairs to keep, the heaviest of each group: (p,) sorted, (p,) → ascending."""
    order = np.lexsort((-weight, group))
    rank = np.arange(len(group)) - np.searchsorted(group, group)
    return np.sort(order[rank < most])
