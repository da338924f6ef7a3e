"""What of the items collides: groups that share codes under a prefix, and how full a prefix is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_ids.codes import keys
from semantic_ids.grouping import Groups


def colliding(codes: np.ndarray, sizes: Sequence[int]) -> Groups:
    """Return the groups of a common prefix.

    (the first L − 1 levels) in which two items or more share all their codes.

    Args:
        codes: Shape (n, L).
        sizes: The L codebook sizes.
    """
    in_order = np.sort(keys(codes, sizes))
    shared = np.unique(in_order[1:][in_order[1:] == in_order[:-1]] // int(sizes[-1]))
    groups = Groups.by(keys(codes[:, :-1], sizes))
    return groups.select(np.isin(groups.keys, shared, assume_unique=True))


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
        more = Occupancy.of(prefix_keys)
        together = np.union1d(self.keys, more.keys)
        return Occupancy(together, self.at(together) + more.at(together))

    def at(self, prefix_keys: np.ndarray) -> np.ndarray:
        """Return how many items each of these prefixes has; 0 for one that is not in use."""
        if not len(self.keys):
            return np.zeros(len(prefix_keys), dtype=np.int64)
        place = np.minimum(np.searchsorted(self.keys, prefix_keys), len(self.keys) - 1)
        return np.where(self.keys[place] == prefix_keys, self.counts[place], 0)

    def full(self, size: int) -> np.ndarray:
        """Return the prefixes with at least `size` items, ascending."""
        return self.keys[self.counts >= size]
