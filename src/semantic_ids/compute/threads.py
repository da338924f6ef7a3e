"""Chunks of rows to threads, so that results do not depend on how many threads there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor

from semantic_ids.arrays import chunks, one_thread
from semantic_ids.compute.devices import full_precision

WORKER_ROWS = 2048
"""Rows that a thread works on at a time."""
GPU_ROWS, GPU_CELLS = 1 << 15, 1 << 25
"""Rows that a GPU works on at a time, at most so many and no table of more numbers: enough to keep
it busy, in a few hundred MiB."""


LEAST_ROWS = 256
"""Smaller batches are filled up to this many rows: matrix products round differently for very few,
and results must not depend on how many come at once."""


def pad_rows(block: Tensor) -> Tensor:
    """Repeat the last row until there are `LEAST_ROWS` rows."""
    missing = LEAST_ROWS - len(block)
    return (
        torch.cat([block, block[-1:].expand(missing, -1)]) if len(block) and missing > 0 else block
    )


def chunk_rows(device: torch.device, width: int) -> int:
    """Return how many rows to work on at a time, where the widest table holds `width` numbers for
    each; fixed for a kind of device.
    """
    return (
        WORKER_ROWS if device.type == "cpu" else max(1, min(GPU_ROWS, GPU_CELLS // max(1, width)))
    )


def each_chunk(
    work: Callable[[slice], None],
    n: int,
    device: torch.device,
    width: int = 1,
    done: Callable[[int], None] = lambda rows: None,
) -> None:
    """Do the work for all chunks of n rows, without gradients.

    On a CPU a chunk is a thread's, from reading to writing: threads that share every product wait
    for each other at each, which on a machine with other work takes several times as long. The
    numbers do not depend on it. `width` is that of `chunk_rows`; `done` is called in the calling
    thread and in order with the number of rows of each chunk.
    """
    parts = list(chunks(n, chunk_rows(device, width)))
    if device.type == "cpu":
        each_part(work, _even(n) if len(parts) == 1 else parts, done)
        return
    with full_precision(device), torch.no_grad():
        for part in parts:
            work(part)
            done(part.stop - part.start)


_own = threading.local()


@contextmanager
def parts_alone() -> Iterator[None]:
    """Let this thread hand out the parts of `each_part` as before, and torch compute all else on
    one thread.

    Threads that share out a row of numbers round some of them differently where their shares meet:
    exponentials and logarithms by one formula within a vector register and another at its end.
    """
    before, _own.threads = getattr(_own, "threads", 0), _threads_here()
    try:
        with one_thread():
            yield
    finally:
        _own.threads = before


def _threads_here() -> int:
    """How many threads this one may hand parts out to."""
    return getattr(_own, "threads", 0) or torch.get_num_threads()


def each_part(
    work: Callable[[slice], None],
    parts: Sequence[slice],
    done: Callable[[int], None] = lambda rows: None,
) -> None:
    """Do the work for each part on a CPU, without gradients: see `each_chunk`.

    A part is one thread's, also where there is one alone: products that several threads share
    round differently.
    """

    def without_gradients(part: slice) -> None:
        if torch.get_num_threads() != 1:  # each thread has a number of its own, and so has its BLAS
            torch.set_num_threads(1)
        with torch.no_grad():
            work(part)

    threads = _threads_here()
    with one_thread():
        each = _threads(threads, os.getpid()).map if min(threads, len(parts)) > 1 else map
        for part, _ in zip(parts, each(without_gradients, parts), strict=True):
            done(part.stop - part.start)


def _even(n: int) -> list[slice]:
    """Cut the rows of a chunk into parts for several threads, of at least `LEAST_ROWS` each."""
    count = max(1, n // LEAST_ROWS)
    return [slice(n * i // count, n * (i + 1) // count) for i in range(count)]


@lru_cache(maxsize=4)
def _threads(number: int, process: int) -> ThreadPoolExecutor:
    """Return threads that are kept.

    To start one while others compute takes milliseconds, which adds up over many small calls.

    They do not live on in a forked process, so each process has its own.
    """
    return ThreadPoolExecutor(number)
