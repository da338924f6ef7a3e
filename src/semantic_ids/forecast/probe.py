"""How fast this machine does what the work is made of.

Matrix products, the beam search and passes over rows.

Measured rather than looked up, on random numbers, in a fifth of a second, with the threads and on
the device that the work will have. The least of a few tries counts: whatever else the machine does
only adds to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from semantic_ids.compute.devices import resolve
from semantic_ids.compute.threads import GPU_ROWS, WORKER_ROWS, each_chunk
from semantic_ids.quantization.refinement import LEAST_ANNEALED_BEAM
from semantic_ids.quantization.residual import ResidualQuantizer

TRIES = 4
"""Tries of each measurement; the first one warms up, and counts if it was the quickest."""
PRODUCT_WORK, GPU_PRODUCT_WORK = 1 << 28, 1 << 34
"""Multiplications of a thread, or of a GPU, in a try: a few milliseconds."""
SEARCH_CELLS, GPU_SEARCH_CELLS = 1 << 21, 1 << 26
"""Scores of a thread, or of a GPU, in a try of the beam search."""
SEARCH_DIM = 16
"""Dimensions of the vectors searched: the product with the codebooks is measured apart, and is next
to nothing this way."""
LARGEST_TABLE = 1 << 21
"""Numbers in a table of the products of two codebooks; larger codebooks are tried at a smaller
size."""
LEAST_SEARCHED, LEAST_MULTIPLIED = 16, 256
"""Rows of a thread in a try, at least."""
PASS_SHAPE = (256, 512)
"""Rows that a pass goes over: their float64 copies stay in the cache, as where the metrics are
computed."""


def speeds(
    dim: int,
    codebook_sizes: Sequence[int],
    *,
    beam: int,
    anneals: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure everything that `advice.Speed` wants to know.

    Args:
        dim: Dimensions of the rows.
        codebook_sizes: The L sizes.
        beam: Width of the beam with which `encode` searches.
        anneals: Whether codebooks are annealed: with a beam of its own, which finds as many codes
            as it is wide.
        device: `auto`, `cpu` or `cuda`.
    """
    where, columns, drawn = resolve(device), sum(codebook_sizes), max(beam, LEAST_ANNEALED_BEAM)
    products = product_speed(dim, columns, device)
    search = search_seconds(codebook_sizes, beam, device=device)
    return {
        "products": products,
        "cpu_products": products if where.type == "cpu" else product_speed(dim, columns, "cpu"),
        "search": search,
        "drawn_search": search_seconds(codebook_sizes, drawn, drawn, device) if anneals else search,
        "passes": pass_speed(),
        "threads": torch.get_num_threads(),
    }


def product_speed(dim: int, columns: int, device: str = "auto") -> float:
    """Return how many operations a second.

    (two a multiplication) float32 products of rows and codebooks run at, over all threads.

    Args:
        dim: Dimensions of the rows.
        columns: Codes of all codebooks together.
        device: `auto`, `cpu` or `cuda`.
    """
    where = resolve(device)
    work, most = (
        (PRODUCT_WORK, WORKER_ROWS) if where.type == "cpu" else (GPU_PRODUCT_WORK, GPU_ROWS)
    )
    dim = min(dim, work // LEAST_MULTIPLIED)
    columns = max(1, min(columns, work // LEAST_MULTIPLIED // dim))
    rows = min(most, work // (dim * columns))
    factors, offsets = torch.randn((dim, columns), device=where), torch.zeros(columns, device=where)
    block = torch.randn((rows, dim), device=where)
    workers = _workers(where)
    seconds = _least_seconds(
        lambda: _by_all(lambda: torch.addmm(offsets, block, factors), workers, where), where
    )
    return 2.0 * workers * rows * dim * columns / seconds


def search_seconds(
    codebook_sizes: Sequence[int], beam: int, found: int = 1, device: str = "auto"
) -> float:
    """Return the seconds an item that a beam search takes, over all threads, beside the product
    with the codebooks.

    Args:
        codebook_sizes: The L sizes. Where their tables would be large, halves or quarters of them
            are tried: the time is in proportion.
        beam: Width of the beam.
        found: Codes found for each item.
        device: `auto`, `cpu` or `cuda`.
    """
    where = resolve(device)
    sizes = _small_enough(codebook_sizes)
    quantizer = ResidualQuantizer([torch.randn((size, SEARCH_DIM), device=where) for size in sizes])
    cells = SEARCH_CELLS if where.type == "cpu" else GPU_SEARCH_CELLS
    rows = max(
        LEAST_SEARCHED,
        min(WORKER_ROWS if where.type == "cpu" else GPU_ROWS, cells // (beam * sum(sizes))),
    )
    block = torch.randn((rows, SEARCH_DIM), device=where)
    workers = _workers(where)
    seconds = _least_seconds(
        lambda: _by_all(lambda: quantizer.search(block, found, beam), workers, where), where
    )
    return seconds / (workers * rows) * sum(codebook_sizes) / sum(sizes)


def pass_speed() -> float:
    """Return how many numbers a second one thread widens to float64, subtracts and multiplies, row
    by row, as the metrics do.
    """
    rows = np.random.default_rng(0).standard_normal(PASS_SHAPE).astype(np.float32)
    near = rows.mean(axis=0, dtype=np.float64)

    def work() -> None:
        wide = rows.astype(np.float64) - near
        np.vecdot(wide, wide)

    return rows.size / _least_seconds(work, torch.device("cpu"), 4 * TRIES)


def _small_enough(sizes: Sequence[int]) -> list[int]:
    """Halve the largest codebook until no two have a table that is too large."""
    sizes = [int(size) for size in sizes]
    while len(sizes) > 1 and np.prod(sorted(sizes)[-2:]) > LARGEST_TABLE:
        sizes[sizes.index(max(sizes))] //= 2
    return sizes


def _workers(device: torch.device) -> int:
    """Return how many chunks are worked on at a time."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def _by_all(work: Callable[[], object], workers: int, device: torch.device) -> None:
    """Let every thread do the same work once, as `each_chunk` hands out chunks."""

    def chunk(_: slice) -> None:
        work()

    each_chunk(chunk, workers * WORKER_ROWS if device.type == "cpu" else 1, device)


def _least_seconds(work: Callable[[], object], device: torch.device, tries: int = TRIES) -> float:
    """Do some work a few times; return the seconds of the quickest, until the device is done with
    it.
    """
    seconds = []
    for _ in range(tries):
        started = time.perf_counter()
        work()
        if device.type != "cpu":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return max(min(seconds), 1e-9)
