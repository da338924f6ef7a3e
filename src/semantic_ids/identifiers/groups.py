"""How full prefixes are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Occupancy:
    """How many items each prefix has.

    Attributes:
        keys: Shape (g,), int64, ascending: prefixes with at least one item.
        counts: Shape (g,), int64.
    """

    keys: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, prefix_keys: np.ndarray) -> Occupancy:
        """Count the items of each prefix."""
        return cls(*np.unique(prefix_keys, return_counts=True))

    def add(self, prefix_keys: np.ndarray) -> Occupancy:
        """Count more items."""
        return self.plus(Occupancy.of(prefix_keys))

    def plus(self, other: Occupancy) -> Occupancy:
        """Count what another counts as well."""
        together = np.union1d(self.keys, other.keys)
        return Occupancy(together, self.at(together) + other.at(together))

    def at(self, prefix_keys: np.ndarray) -> np.ndarray:
        """Return how many items each of these prefixes has; 0 for one that is not in use."""
        if not len(self.keys):
            return np.zeros(len(prefix_keys), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.keys, prefix_keys), len(self.keys) - 1)
        return np.where(self.keys[place] == prefix_keys, self.counts[place], 0)

    def full(self, size: int) -> np.ndarray:
        """Return the prefixes with at least `size` items, ascending."""
        return self.keys[self.counts >= size]
