"""What the cast to the storage type costs: different vectors that become equal.

Far from zero the numbers of a type are far apart: 16,777,216 and 16,777,217 are the same float32.
Vectors that differ by less are one vector afterwards, and no tokenizer can tell them apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from semantic_ids.hashing import vector_hash

BLOCK_VALUES = 1 << 16
"""Values that are looked at at a time, so that they stay in the processor's cache."""
MEASURED_ROWS = 64
"""Vectors of each batch on which the cast is measured."""
NOTICEABLE = 1e-4
"""A larger share of the variance than this is worth a warning; float16 takes 1e-7 of vectors whose
values are around zero."""


class CastError(NamedTuple):
    """How far the cast moves vectors, measured on some of them.

    Attributes:
        squared: Sum of the squared distances of the stored vectors from the given ones.
        variance: Sum of the squared distances of the given ones from their mean.
    """

    squared: float = 0.0
    variance: float = 0.0

    def plus(self, other: CastError) -> CastError:
        """Return the error over the vectors of both."""
        return CastError(self.squared + other.squared, self.variance + other.variance)

    @property
    def share(self) -> float:
        """Squared error as a share of the variance; 0 where nothing was measured."""
        return self.squared / self.variance if self.variance > 0 else 0.0


def cast_error(given: np.ndarray, stored: np.ndarray, valid: np.ndarray) -> CastError:
    """Measure the cast on the first valid vectors of a batch: (m, D), (m, D), (m,) bool."""
    if np.can_cast(given.dtype, stored.dtype, "safe"):
        return CastError()
    rows = np.flatnonzero(valid)[:MEASURED_ROWS]
    exact, kept = given[rows].astype(np.float64), stored[rows].astype(np.float64)
    if not len(rows):
        return CastError()
    spread = exact - exact.mean(axis=0)
    return CastError(float(((exact - kept) ** 2).sum()), float((spread**2).sum()))


def given_hashes(given: np.ndarray, stored: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Hash vectors as they were given: equal for equal vectors, whatever type they came in.

    Where the cast changed nothing, that is the hash of the stored vector: whoever stores in the
    type that the vectors have pays nothing.

    Args:
        given: Shape (m, D), numbers of any type.
        stored: Shape (m, D), the same, cast.
        hashes: Shape (m,), uint64: `hashing.vector_hash` of `stored`.

    Returns:
        Shape (m,), uint64; `hashes` itself where the cast cannot change anything.
    """
    if np.can_cast(given.dtype, stored.dtype, "safe"):
        return hashes
    found = hashes.copy()
    block = max(1, BLOCK_VALUES // max(1, given.shape[1]))
    for start in range(0, len(given), block):
        rows = slice(start, start + block)
        with np.errstate(over="ignore", invalid="ignore"):
            same = (stored[rows].astype(given.dtype) == given[rows]).all(axis=1)
        if not same.all():
            changed = np.flatnonzero(~same)
            found[start + changed] = _hash(given[rows][changed])
    return found


def _hash(given: np.ndarray) -> np.ndarray:
    """Hash numbers of 64 bits or fewer by their values."""
    wide = given.astype(np.float64)
    hashes = vector_hash(wide)
    if given.dtype.kind in "iu" and given.dtype.itemsize == 8:  # float64 cannot hold all of them
        inexact = (np.abs(wide) > 2.0**53).any(axis=1)
        exact = given[inexact].astype(np.int64)
        halves = np.concatenate([exact >> 32, exact & 0xFFFFFFFF], axis=1).astype(np.float64)
        hashes[inexact] = vector_hash(halves)
    return hashes


def equal_by_cast(stored: np.ndarray, given: np.ndarray) -> int:
    """Count the different vectors that were given and are stored as another one is too.

    Args:
        stored: Shape (n,), uint64: hash of each vector as it is stored.
        given: Shape (n,), uint64: hash of each as it was given (`given_hashes`).
    """
    order = np.lexsort((given, stored))
    stored, given = stored[order], given[order]
    first = np.ones(len(stored), bool)
    first[1:] = (stored[1:] != stored[:-1]) | (given[1:] != given[:-1])
    _, different = np.unique(stored[first], return_counts=True)
    return int(different[different > 1].sum())


def cost_in_words(dtype: str, equal: int, share: float) -> list[str]:
    """Say what the cast cost, a sentence each, and what to do; nothing where it cost nothing.

    Args:
        dtype: The storage type.
        equal: How many different vectors became equal to another: see `equal_by_cast`.
        share: Squared error as a share of the variance: see `CastError`.
    """
    shift = "subtract the mean of each dimension from the vectors before they are written"
    do = f"Take ingest.dtype=float32, or {shift}" if dtype == "float16" else shift.capitalize()
    found = []
    if share > NOTICEABLE:
        found.append(
            f"Storing the vectors as {dtype} moved them by {100 * share:.2g} % of their variance:"
            f" their values are far from zero compared with what they differ by. {do}"
        )
    if equal:
        found.append(
            f"{equal:,} different vectors became equal to another when stored as {dtype}: such"
            f" items share their codes. {do}"
        )
    return found
