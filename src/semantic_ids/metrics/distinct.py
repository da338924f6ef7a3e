"""Rows that are the same in some respect: equal codes, equal vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Groups:
    """n rows in g groups, which are numbered in the order of their first rows.

    Attributes:
        of_row: Shape (n,): the number of each row's group. int32, which halves what these arrays
            take, where n allows it.
        first: Shape (g,), ascending: the first row of each group. int32 likewise.
    """

    of_row: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Groups:
        """Group the rows of equal label: shape (n,), anything that sorts.

        Takes half the memory of `np.unique`, which returns int64.
        """
        dtype = np.int32 if len(labels) <= np.iinfo(np.int32).max else np.int64
        order = np.argsort(labels, kind="stable")
        begins = _begins(labels[order])
        first = order[begins]
        by_first = np.argsort(first)
        number = np.empty(len(first), dtype=dtype)
        number[by_first] = np.arange(len(first), dtype=dtype)
        of_row = np.empty(len(labels), dtype=dtype)
        of_row[order] = np.repeat(number, np.diff(np.flatnonzero(begins), append=len(labels)))
        return cls(of_row, first[by_first].astype(dtype))

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

    def members(self, groups: np.ndarray, most: int) -> dict[int, np.ndarray]:
        """Return the first rows of some groups, at most so many of each, ascending.

        Number of the group → rows.
        """
        asked = np.zeros(len(self), dtype=bool)
        asked[groups] = True
        rows = np.flatnonzero(asked[self.of_row])
        rows = rows[np.argsort(self.of_row[rows], kind="stable")]
        numbers, starts = np.unique(self.of_row[rows], return_index=True)
        return {
            int(number): found[:most]
            for number, found in zip(numbers, np.split(rows, starts)[1:], strict=True)
        }


def distinct(labels: np.ndarray) -> int:
    """Count the different labels: shape (n,), anything that sorts."""
    return int(np.count_nonzero(_begins(np.sort(labels))))


def _begins(in_order: np.ndarray) -> np.ndarray:
    """Return where another label begins: (n,) sorted → (n,) bool."""
    begins = np.ones(len(in_order), dtype=bool)
    begins[1:] = in_order[1:] != in_order[:-1]
    return begins
