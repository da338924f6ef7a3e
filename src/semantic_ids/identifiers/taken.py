"""IDs that are out: none of them may be given to another item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from semantic_ids.codes import keys
from semantic_ids.identifiers.groups import Occupancy


@dataclass(frozen=True)
class Taken:
    """IDs that other items have or had.

    Attributes:
        keys: Shape (o,), int64, ascending, each once: `codes.keys` of the IDs.
        last_size: Size K of the last codebook.
    """

    keys: np.ndarray
    last_size: int

    @classmethod
    def of(cls, ids: np.ndarray | None, sizes: Sequence[int]) -> Taken:
        """Note IDs: shape (o, L), or None for none."""
        found = np.zeros(0, np.int64) if ids is None else np.unique(keys(ids, sizes))
        return cls(found, int(sizes[-1]))

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def occupancy(self) -> Occupancy:
        """How many IDs are taken under each prefix."""
        return Occupancy.of(self.keys // self.last_size)

    def holds(self, full_keys: np.ndarray) -> np.ndarray:
        """Whether each of some IDs is taken: (m,) int64 → (m,) bool."""
        if not len(self.keys):
            return np.zeros(len(full_keys), dtype=bool)
        place = np.minimum(np.searchsorted(self.keys, full_keys), len(self.keys) - 1)
        return self.keys[place] == full_keys

    def room(self, prefixes: np.ndarray) -> np.ndarray:
        """Return how many last-level codes are free under each prefix: (g,) int64 → (g,)."""
        return self.last_size - self.occupancy.at(prefixes)

    def free(self, prefix: int) -> np.ndarray:
        """Return the last-level codes that are free under a prefix, ascending."""
        first = int(prefix) * self.last_size
        span = slice(*np.searchsorted(self.keys, [first, first + self.last_size]))
        free = np.ones(self.last_size, dtype=bool)
        free[self.keys[span] - first] = False
        return np.flatnonzero(free)
