"""Rows that are the same in some respect: a common prefix, equal codes, equal vectors.

`Groups` lists the rows of each group, for work on one group after the other; `Partition` numbers
the group of each row, for statistics over all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np


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
        in_order = row_keys[rows]
        first = np.flatnonzero(_first_of_groups(in_order))
        return cls(in_order[first], np.diff(first, append=len(rows)), rows)

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


@dataclass(frozen=True)
class Partition:
    """n rows in g groups, which are numbered in the order of their first rows.

    Attributes:
        of_row: Shape (n,): the number of each row's group. int32, which halves what these arrays
            take, where n allows it.
        first: Shape (g,), ascending: the first row of each group. int32 likewise.
    """

    of_row: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> Partition:
        """Group the rows of equal label: shape (n,), anything that sorts.

        Takes half the memory of `np.unique`, which returns int64.
        """
        dtype = np.int32 if len(labels) <= np.iinfo(np.int32).max else np.int64
        order = np.argsort(labels, kind="stable")
        starts = _first_of_groups(labels[order])
        first = order[starts]
        by_first = np.argsort(first)
        number = np.empty(len(first), dtype=dtype)
        number[by_first] = np.arange(len(first), dtype=dtype)
        of_row = np.empty(len(labels), dtype=dtype)
        of_row[order] = np.repeat(number, np.diff(np.flatnonzero(starts), append=len(labels)))
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
    return int(np.count_nonzero(_first_of_groups(np.sort(labels))))


def _first_of_groups(in_order: np.ndarray) -> np.ndarray:
    """Return which rows are the first of a label: (n,) sorted → (n,) bool."""
    first = np.ones(len(in_order), dtype=bool)
    first[1:] = in_order[1:] != in_order[:-1]
    return first
