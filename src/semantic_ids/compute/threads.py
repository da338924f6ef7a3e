"""Chunks of rows to threads, so that results do not depend on how many threads there are."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


def filled(block: Tensor) -> Tensor:
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
    numbers do not depend on it. `width` is that of `chunk_rows`; `done` hears, in the calling
    thread and in order, of the rows of each chunk that has ended.
    """

    def without_gradients(part: slice) -> None:
        with torch.no_grad():
            work(part)

    threads = torch.get_num_threads()
    parts = list(chunks(n, chunk_rows(device, width)))
    if device.type != "cpu" or min(threads, len(parts)) < 2:
        with full_precision(device):
            for part in parts:
                without_gradients(part)
                done(part.stop - part.start)
        return
    with one_thread():
        ended = _threads(threads, os.getpid()).map(without_gradients, parts)
        for part, _ in zip(parts, ended, strict=True):
            done(part.stop - part.start)


@lru_cache(maxsize=4)
def _threads(number: int, process: int) -> ThreadPoolExecutor:
    """Return threads that are kept.

    To start one while others compute takes milliseconds, which adds up over many small calls.

    They do not live on in a forked process, so each process has its own.
    """
    return ThreadPoolExecutor(number)
