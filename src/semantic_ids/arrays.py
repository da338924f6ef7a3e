"""Reading rows of a large array in chunks, and letting go of the pages behind them.

Pages of a memory map count as the memory of the process for as long as they are mapped: one pass over 1,000,000 × 768 float32 shows as
3 GB. So every pass reads through `read_rows`, which copies the rows out and releases the pages again.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np

CHUNK_ROWS = 8192
"""Rows read and worked on at a time. It is fixed, not a parameter: results must not depend on it."""

SCATTERED_ROWS = 1024
"""Scattered rows read before their pages are released: each maps up to 64 KB around it, so 8,192 rows would count as 512 MB."""


def chunks(n: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Yield the slices that cover `range(n)` in order, `size` rows each, the last one shorter."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def read_rows(array: np.ndarray, rows: slice | np.ndarray, dtype: type | np.dtype = np.float32) -> np.ndarray:
    """Copy some rows of an array or memory map into memory, and release the pages they came from.

    Args:
        array: Shape (n, D), any real dtype; a numpy array or a memory map.
        rows: A slice or an array of row numbers.
        dtype: dtype of the copy.

    Returns:
        Shape (m, D), C-contiguous, never a view of `array`.
    """
    if isinstance(rows, slice):
        copy = np.array(array[rows], dtype=dtype, order="C")
        release(array)
        return copy
    copy = np.empty((len(rows), *array.shape[1:]), dtype=dtype)
    for piece in chunks(len(rows), SCATTERED_ROWS):
        copy[piece] = array[rows[piece]]
        release(array)
    return copy


def release(array: np.ndarray) -> None:
    """Give the resident pages of a read-only memory map back to the system; does nothing for an array in memory."""
    handle = getattr(array, "_mmap", None)
    if isinstance(handle, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and not array.flags.writeable:
        handle.madvise(mmap.MADV_DONTNEED)
