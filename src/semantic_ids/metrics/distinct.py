"""Rows that are the same in some respect: equal codes, equal vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Groups:
    """n rows in g groups, which are numbered in the order of their first rows.

    Attributes:
        of_row: Shape (n,), int64: the number of each row's group.
        first: Shape (g,), int64, ascending: the first row of each group.
    """

    of_row: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Groups:
        """Group the rows of equal label: shape (n,), anything that sorts."""
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        order = np.argsort(first)
        number = np.empty(len(first), dtype=np.int64)
        number[order] = np.arange(len(first))
        return cls(number[inverse], first[order])

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Rows of each group: shape (g,), int64."""
        return np.bincount(self.of_row, minlength=len(self.first))

    @property
    def shared(self) -> np.ndarray:
        """Whether a row shares its group with another: shape (n,), bool."""
        return self.sizes[self.of_row] > 1

    @cached_property
    def _in_order(self) -> tuple[np.ndarray, np.ndarray]:
        return np.argsort(self.of_row, kind="stable"), np.concatenate([[0], np.cumsum(self.sizes)])

    def members(self, group: int, most: int) -> np.ndarray:
        """Return the first rows of a group, at most so many, ascending."""
        rows, starts = self._in_order
        return rows[starts[group] : min(starts[group + 1], starts[group] + most)]
