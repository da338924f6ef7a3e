"""Reading rows of a large array in chunks, and letting go of the pages behind them.

Pages of a memory map count as the memory of the process for as long as they are mapped: one pass
over 1,000,000 × 768 float32 shows as 3 GB. So every pass reads through `read_rows`, which copies
the rows out and releases the pages again.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from semantic_ids.errors import BadInput

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_ROWS = 8192
"""Rows read and worked on at a time. It is fixed, not a parameter: results must not depend on
it."""

SCATTERED_ROWS = 1024
"""Scattered rows read before their pages are released: each maps up to 64 KB around it, so 8,192
rows would count as 512 MB."""


class MappedRows(np.memmap):
    """A read-only memory map that keeps its file open.

    Scattered rows are then read from the file, which took 2.5 µs a row of 3 KB where faulting their
    pages in took 9.5. The open file is that of the map, even when another generation has taken its
    name.
    """

    file: IO[bytes] | None = None
    _begin = 0

    def __array_finalize__(self, obj: Any) -> None:
        super().__array_finalize__(obj)
        if getattr(self, "_mmap", None) is None:  # derived, but no view: a copy, chosen rows
            self.file, self._begin = None, 0
        else:
            self.file, self._begin = getattr(obj, "file", None), getattr(obj, "_begin", 0)

    def file_offset(self) -> int | None:
        """Return where in the file the first row begins, or None where rows are not whole runs of
        bytes there.
        """
        whole = (
            self.ndim == 2
            and self.file is not None
            and self.strides[1] == self.itemsize
            and self.strides[0] > 0
        )
        return self.ctypes.data - self._begin if whole else None


def map_rows(path: str | Path) -> MappedRows:
    """Map a .npy file of shape (n, D) read-only.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no such file, or shorter than it says.
    """
    file = open(path, "rb")  # noqa: SIM115 - open for as long as the map is
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{path} is no .npy file of version 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if fortran or len(shape) != 2:
        raise ValueError(f"{path} does not hold rows")
    offset = file.tell()
    mapped = np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=shape).view(MappedRows)
    mapped.file, mapped._begin = file, mapped.ctypes.data - offset
    return mapped


def chunks(n: int, size: int = CHUNK_ROWS) -> Iterator[slice]:
    """Yield the slices that cover `range(n)` in order, `size` rows each, the last one shorter."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def usable_cores(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return how many cores this process may use, at least 1.

    Those that it is bound to, or what its container grants it: `os.cpu_count` counts all there are.

    Args:
        limit: The file in which Linux says what a container is granted: quota and period.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = limit.read_text(encoding="ascii").split()
        granted = math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or `max`: no limit
        return bound or 1
    return max(1, min(bound or 1, granted))


def workers() -> ThreadPoolExecutor:
    """Return threads, one a core: numpy and scipy let them work side by side."""
    return ThreadPoolExecutor(usable_cores())


class _OneThread:
    """The number of threads that torch computes on: of the thread that asks, and, for its BLAS, of
    the whole process.

    Calls that overlap, in any number of threads, share it: the first one sets it to 1, and the last
    one sets it back. A thread that ends its calls before others do gets its number back with the
    next call that it ends last.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls = 0
        self.before = 1
        self.own = threading.local()

    def enter(self) -> None:
        """Set one thread, for this thread too if another has for the process."""
        import torch

        with self.lock:
            if not self.calls:
                self.before = getattr(self.own, "owed", 0) or torch.get_num_threads()
            self.calls += 1
            if torch.get_num_threads() != 1:
                torch.set_num_threads(1)

    def leave(self) -> None:
        """Set back what was there, if no other call needs one thread."""
        import torch

        with self.lock:
            self.calls -= 1
            self.own.owed = self.before if self.calls else 0
            if not self.calls and self.before != 1:
                torch.set_num_threads(self.before)


_one_thread = _OneThread()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread.

    Where threads share out the work already, and where sums must round the same with any number.
    Calls may overlap: see `_OneThread`.
    """
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()


def in_threads(
    work: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Do the work for each item in threads, in each of which torch computes on one thread.

    Yield the results in the order of the items, few of them made ahead.
    """
    yield from in_order(one_thread()(work), items, usable_cores())


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result, None, None]:
    """Do the work for each item in so many threads.

    Yield the results in the order of the items, few of them made ahead. What fails is raised in its
    turn, and what was not begun by then is left undone.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def prefetch(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield items while the next one is made in a thread; one at a time, in order."""
    source = iter(items)
    nothing = object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, source, nothing)
        while (item := following.result()) is not nothing:
            following = pool.submit(next, source, nothing)
            yield item  # type: ignore[misc]


def one_behind(items: Iterable[Item]) -> Iterator[Item]:
    """Yield each item when the next one has been made.

    Work that was started for one continues in the meantime, in threads or on a device.
    """
    waiting: list[Item] = []
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting


def read_rows(
    array: np.ndarray, rows: slice | np.ndarray, dtype: type | np.dtype = np.float32
) -> np.ndarray:
    """Copy some rows of an array or memory map into memory, and release the pages they came from.

    Args:
        array: Shape (n, D), any real dtype; a numpy array or a memory map.
        rows: A slice or an array of row numbers.
        dtype: dtype of the copy.

    Returns:
        Shape (m, D), C-contiguous, never a view of `array`.
    """
    if isinstance(rows, slice):
        copy = np.array(array[rows], dtype=dtype, order="C", subok=False)
        release(array)
        return copy
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return read_rows(array, slice(int(rows[0]), int(rows[-1]) + 1), dtype)
    if isinstance(array, MappedRows) and (place := array.file_offset()) is not None:
        return _read_scattered(array, np.asarray(rows), place).astype(dtype, copy=False)
    copy = np.empty((len(rows), *array.shape[1:]), dtype=dtype)
    for piece in chunks(len(rows), SCATTERED_ROWS):
        copy[piece] = array[rows[piece]]
        release(array)
    return copy


def _read_scattered(array: MappedRows, rows: np.ndarray, place: int) -> np.ndarray:
    """Read rows from the file behind a map, whose first row begins at `place`."""
    if len(rows) and not (-len(array) <= rows.min() and rows.max() < len(array)):
        raise IndexError(f"rows from {rows.min()} to {rows.max()} of an array of {len(array)}")
    copy = np.empty((len(rows), array.shape[1]), dtype=array.dtype)
    width, stride = array.shape[1] * array.itemsize, array.strides[0]
    into = copy.data.cast("B")
    handle = array.file.fileno()  # type: ignore[union-attr]
    for number, row in enumerate((rows % len(array)).tolist()):
        space = into[number * width : (number + 1) * width]
        if os.preadv(handle, [space], place + row * stride) != width:
            _fill(space, handle, place + row * stride)
    return copy


def _fill(into: memoryview, handle: int, begin: int) -> None:
    """Read so many bytes of a file as there is room for; one call may return fewer."""
    done = 0
    while done < len(into):
        found = os.preadv(handle, [into[done:]], begin + done)
        if not found:
            raise BadInput(
                f"the file ends before byte {begin + done:,}, where it should have rows",
                where="memory-mapped vectors",
                expected="a file that nothing changes while it is read",
                do="write the file again",
                remake="embeddings",
            )
        done += found


def stretches(begin: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return `arange(begin[i], begin[i] + lengths[i])` of all i, one after the other.

    Two of shape (b,), whole numbers → (Σ lengths,), int64.
    """
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total, dtype=np.int64) + np.repeat(begin - (ends - lengths), lengths)


def require_finite(values: np.ndarray, rows: slice | np.ndarray) -> None:
    """Raise `BadInput` where a row has a value that is NaN or infinite.

    Args:
        values: Shape (m, D). The sum shows whether there is one: it costs a hundredth of encoding.
        rows: What the rows are called: a slice or m row numbers.
    """
    if values.dtype.kind != "f" or not values.size:
        return
    if values.dtype != np.float16:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(values.sum()):
                return
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(wrong):
        number = int(rows.start + wrong[0] if isinstance(rows, slice) else rows[wrong[0]])
        value = values[wrong[0]][~np.isfinite(values[wrong[0]])][0]
        raise BadInput(
            f"the vector holds {value}",
            where=f"row {number:,} of the vectors",
            expected="finite numbers, as float32 holds them",
            do="leave such items out, or mend them",
        )


def trim_memory() -> None:
    """Give memory back to the system that has been freed, and that the C library keeps for later.

    After many small tables of several threads that is a few hundred MB, which else add to the peak
    of what follows. Does nothing where the C library cannot.
    """
    if sys.platform == "linux":
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if give_back:
            give_back(0)


def release(array: np.ndarray) -> None:
    """Give the resident pages of a read-only memory map back to the system.

    Does nothing for an array in memory.
    """
    handle = getattr(array, "_mmap", None)
    if (
        isinstance(handle, mmap.mmap)
        and hasattr(mmap, "MADV_DONTNEED")
        and not array.flags.writeable
    ):
        handle.madvise(mmap.MADV_DONTNEED)
