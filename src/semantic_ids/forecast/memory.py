"""What the stages that come will hold in memory, and how much there is to be had.

Counted from the arrays that each stage holds. Vectors are never held as a whole: they are mapped.
The memory of a GPU is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from semantic_ids.arrays import CHUNK_ROWS
from semantic_ids.compute.threads import WORKER_ROWS
from semantic_ids.forecast.run import Run, pairs_of_codes
from semantic_ids.identifiers.overflow import DENSE_CELLS as CONTEST_CELLS
from semantic_ids.identifiers.placement import COSTS_AT_A_TIME
from semantic_ids.identifiers.reassign import DENSE_CELLS
from semantic_ids.identifiers.sparse_assignment import CANDIDATES, PAIRS
from semantic_ids.learning.batches import BUFFER_ROWS, HELD_BYTES
from semantic_ids.metrics.candidates import LARGEST_PRODUCTS
from semantic_ids.quantization.residual import (
    BEAM_CELLS,
    HELD_PRODUCTS,
    LARGEST_EXACT,
    LARGEST_TABLE,
)
from semantic_ids.tokenizers.starts import start_rows

LIBRARIES = 120e6
"""Bytes of libraries that are loaded only later, and of what their first use takes."""
COPIES, START_COPIES = 2, 3
"""Of the rows fitted on: themselves and what they leave over; of those that codebooks start from:
what they leave over, before and after, and what they have."""
WEIGHT_COPIES = 7
"""Of the weights of a network: themselves, gradients, two moments, two epochs that may be kept, and
what is being written."""
ITEM = {"encode": 60, "deduplicate": 100, "evaluate": 200}
"""Bytes an item beside its codes: keys, their order, errors."""
PAIR_BYTES = 100
"""Of a pair of an item and a code that a large assignment problem is solved over: itself twice, and
what it takes to sort them."""
CODES = {"encode": 3, "deduplicate": 5, "evaluate": 5}
"""Copies of the codes, int32."""


def held(run: Run, dim: int, threads: int) -> dict[str, float]:
    """Estimate the most bytes that each stage holds beside what is in memory already."""
    work, tables = _at_work(run, dim, threads), _tables(run)
    metrics = _items(run, "evaluate", run.items) + 2 * run.queries * (CHUNK_ROWS + 2 * dim) * 4
    metrics += 8.0 * min((sum(run.codebook_sizes) + 1) ** 2, LARGEST_PRODUCTS)
    twin = 2 * tables + _fit(run, dim, run.twin_items) if run.twin_items else 0.0
    return {
        "train": work + LIBRARIES / 2 + 2 * tables + _fit(run, dim, run.fit_items),
        "encode": work + LIBRARIES / 4 + tables + _items(run, "encode", run.items),
        "deduplicate": work + LIBRARIES / 2 + tables + _unique(run, run.items),
        "evaluate": work + LIBRARIES + tables + max(metrics, twin),
    }


def _at_work(run: Run, dim: int, threads: int) -> float:
    """Bytes of what is being worked on: chunks that are read, each thread's rows and scores, and
    the codebooks.
    """
    codes = sum(run.codebook_sizes)
    rows = threads * (WORKER_ROWS * (2 * dim + codes + 2 * sum(_layers(run, dim))) + 4 * BEAM_CELLS)
    return 4.0 * (3 * CHUNK_ROWS * dim + rows + 4 * codes * dim)


def _tables(run: Run) -> float:
    """Bytes of the tables of the products of every two codebooks, where they are held.

    Each is float64 at first where it is small enough. A fit has those of two rounds.
    """
    pairs = pairs_of_codes(run.codebook_sizes)
    return 4.0 * pairs + 8.0 * min(pairs, LARGEST_EXACT) if pairs <= HELD_PRODUCTS else 0.0


def _fit(run: Run, dim: int, items: int) -> float:
    """Bytes of a fit on so many items."""
    if run.kind != "rq_vae":
        return _kmeans(run, dim, items, run.options)
    held = [4.0 * rows * dim for rows in (items, run.watched_items)]
    vectors = sum(size if size <= HELD_BYTES else 3.0 * BUFFER_ROWS * dim * 4 for size in held)
    layers = _layers(run, dim)
    network = WEIGHT_COPIES * 4.0 * 2 * sum(a * b for a, b in pairwise(layers))
    latents = 4.0 * min(items, _most(run.options.get("start") or {}, run)) * layers[-1]
    start = _kmeans(run, layers[-1], items, run.options.get("start") or {})
    return network + vectors + max(latents + start, 4.0 * items * layers[-1] + _unique(run, items))


def _kmeans(run: Run, dim: int, items: int, options: Mapping[str, Any]) -> float:
    """Bytes of an rq_kmeans on so many items: its rows with a copy, or with those of the start."""
    rows = min(items, _most(options, run))
    first = min(rows, start_rows(options.get("init_rows", 0), run.codebook_sizes))
    unique = _unique(run, rows) if run.strategy == "reassign" and rows == items else 0.0
    copies = max((COPIES - 1) * rows * dim * 4.0, START_COPIES * first * dim * 4.0, unique)
    return rows * dim * 4.0 + 3 * 8.0 * dim**2 + copies


def _most(options: Mapping[str, Any], run: Run) -> int:
    """Rows that an rq_kmeans is fitted on, at most."""
    return int(max(run.codebook_sizes) * options.get("max_points_per_centroid", 256))


def _unique(run: Run, items: int) -> float:
    """Bytes of making so many IDs unique: what there is of an item, and a batch of costs."""
    batch = _assignment(run.codebook_sizes, items) if run.strategy == "reassign" else 0.0
    return _items(run, "deduplicate", items) + batch


def _assignment(sizes: Sequence[int], items: int) -> float:
    """Bytes of the largest assignment problem that there may be, and of what it is made from.

    Costs of a batch are float32, and float64 where they are compared. A full group of a large last
    codebook is solved over few candidates an item instead, and an overfull one that would have too
    many costs as well. Prefixes that are full are marked in a table of all prefixes.
    """
    last, prefixes = int(sizes[-1]), prod(map(int, sizes[:-1]))
    full = min(items, last)
    batch = 28.0 * min(COSTS_AT_A_TIME, items * last)
    pairs = min(PAIRS, CANDIDATES * full) if full * last > min(DENSE_CELLS, CONTEST_CELLS) else 0
    return batch + PAIR_BYTES * pairs + (prefixes if prefixes <= LARGEST_TABLE else 0)


def _layers(run: Run, dim: int) -> list[int]:
    """Widths of the encoder of an rq_vae, from its input to its output."""
    if run.kind != "rq_vae":
        return [dim]
    network = run.options["network"]
    latent = network["latent"] if network["architecture"] == "mlp" else dim
    return [dim, *network["hidden"], latent]


def _items(run: Run, stage: str, items: int) -> float:
    return float(items) * (ITEM[stage] + CODES[stage] * 4 * len(run.codebook_sizes))


def resident() -> int:
    """Return the bytes that this process has in memory; 0 where the system does not tell."""
    return _kilobytes(Path("/proc/self/status")).get("VmRSS", 0) * 1024


def room() -> float:
    """Return the bytes that this process may grow to without pushing anything out.

    Infinite where the system does not tell.
    """
    available = _kilobytes(Path("/proc/meminfo")).get("MemAvailable")
    return min(
        resident() + available * 1024 if available else float("inf"),
        _limit(Path("/sys/fs/cgroup/memory.max")),
    )


def _limit(file: Path) -> float:
    """Return the limit of a container (cgroup v2)."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return float("inf")
    return float(text) if text.isdigit() else float("inf")


def _kilobytes(file: Path) -> Mapping[str, int]:
    """Read the lines `name: number kB` of a file of /proc."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines]
    return {
        found[0].rstrip(":"): int(found[1])
        for found in words
        if len(found) == 3 and found[2] == "kB"
    }
