"""Items grouped by a key: what shares a prefix, what shares its codes, how full a prefix is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from semantic_ids.codes import keys


@dataclass(frozen=True)
class Groups:
    """Rows, group after group.

    Attributes:
        keys: Shape (g,), int64, ascending: what the rows of a group share.
        sizes: Shape (g,), int64: rows in each group, at least 1.
        rows: Shape (Σ sizes,), int64: row numbers, ascending within a group.
    """

    keys: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray

    @classmethod
    def by(cls, row_keys: np.ndarray) -> Groups:
        """Group all rows by their keys: shape (n,)."""
        rows = np.argsort(row_keys, kind="stable")
        found, sizes = np.unique(row_keys, return_counts=True)
        return cls(found, sizes, rows)

    def select(self, wanted: np.ndarray) -> Groups:
        """Keep the groups of a mask: shape (g,), bool."""
        return Groups(
            self.keys[wanted], self.sizes[wanted], self.rows[np.repeat(wanted, self.sizes)]
        )

    @property
    def owner(self) -> np.ndarray:
        """Number of each row's group: shape (Σ sizes,)."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def spans(self) -> list[tuple[int, int]]:
        """Where each group starts and stops in `rows`."""
        stops = np.cumsum(self.sizes)
        return list(zip((stops - self.sizes).tolist(), stops.tolist(), strict=True))

    def batches(self, most: int) -> Iterator[Groups]:
        """Yield whole groups, in order, at most `most` rows at a time.

        A larger group comes alone.
        """
        stops = np.cumsum(self.sizes)
        first, done = 0, 0
        while first < len(self.sizes):
            last = max(first + 1, int(np.searchsorted(stops, done + most, side="right")))
            yield Groups(
                self.keys[first:last], self.sizes[first:last], self.rows[done : stops[last - 1]]
            )
            first, done = last, int(stops[last - 1])


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
