"""One system on one data set, in a process of its own: times, memory, and how good its codes are.

python -m benchmarks.measure TASK.json ROW.json        (from the project's folder; `run.py` does it)
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.data import held_out
from benchmarks.machine import peak_bytes
from benchmarks.rows import Row, Task, blank
from benchmarks.systems import Fitted, System, Unsupported, base_values, systems
from semantic_ids.arrays import map_rows, read_rows

T = TypeVar("T")

CHEAP_SECONDS = 10.0
"""What takes less is repeated, and the median counts."""
MOST_REPEATS = 3
MB = 1e6


def measure(task: Task, system: System) -> Row:
    """Measure a system; what goes wrong becomes a row, too."""
    if system.missing:
        return blank(task, system, "skipped", system.missing)
    try:
        return _measure(task, system)
    except Unsupported as reason:
        return blank(task, system, "skipped", str(reason))
    except (
        Exception
    ) as error:  # a peer may raise whatever it likes, and the others are measured all the same
        traceback.print_exc()
        return blank(task, system, "failed", f"{type(error).__name__}: {error}".splitlines()[0])


def _measure(task: Task, system: System) -> Row:
    row, fitted, codes = performance(task, system)
    return replace(
        row,
        **quality(task, fitted, codes),
        **(generalization(task, system) if task.held_out else {}),
    )


def performance(task: Task, system: System) -> tuple[Row, Fitted, np.ndarray]:
    """Fit and encode all items; return times and memory, the fitted system and the codes."""
    system.load()
    mapped = map_rows(Path(task.folder) / "vectors.npy")
    vectors = mapped if system.streams else read_rows(mapped, slice(None))
    most = 1 if task.quick else MOST_REPEATS
    fitted, fit_seconds = timed(partial(system.fit, vectors, task.codebook_sizes, task.seed), most)
    codes, encode_seconds = timed(partial(fitted.encode, vectors), most)
    encode = statistics.median(encode_seconds)
    row = replace(
        blank(task, system, "measured"),
        items=len(vectors),
        dim=vectors.shape[1],
        fit_seconds=statistics.median(fit_seconds),
        encode_seconds=encode,
        items_per_second=len(vectors) / encode,
        epoch_seconds=statistics.median(fit_seconds) / fitted.epochs if fitted.epochs else None,
        fits=len(fit_seconds),
        peak_mb=peak_bytes() / MB,
    )
    return row, fitted, codes


def timed(work: Callable[[], T], most: int = MOST_REPEATS) -> tuple[T, list[float]]:
    """Do some work, again where it is cheap.

    Return its last result and the seconds that each time took.
    """
    seconds: list[float] = []
    while True:
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
        if len(seconds) == most or sum(seconds) > CHEAP_SECONDS:
            return result, seconds
        del result  # two of them at a time would count as memory


def quality(task: Task, fitted: Fitted, codes: np.ndarray) -> dict[str, Any]:
    """De-duplicate the codes as the stage `identify` does, and measure them as the stage `evaluate`
    does.
    """
    from semantic_ids.datasets.embeddings import EmbeddingsDataset
    from semantic_ids.workflows import measuring
    from semantic_ids.workflows.fitting import FitOptions

    embeddings = EmbeddingsDataset(task.folder).load()
    found = measuring.measure(
        embeddings.vectors,
        fitted.make_tokenizer(),
        FitOptions(strategy="reassign", candidates=base_values("identify")["candidates"]),
        codes=codes,
        queries=base_values("evaluate")["queries"],
        vector_hashes=embeddings.vector_hashes,
    ).metrics
    return {
        "relative_mse": found["reconstruction.relative_mse"],
        "relative_mse_unique": found["reconstruction.relative_mse_unique"],
        "added_distortion": found["ids.added_distortion"],
        "distinct": found["codes.unique_rate"],
        "recall": found["neighbours.recall_at_10"],
        "cohesion_1": found.get("hierarchy.cohesion.1"),
        "cohesion_2": found.get("hierarchy.cohesion.2"),
    }


def generalization(task: Task, system: System) -> dict[str, Any]:
    """Fit again without the held-out items, and measure both sides."""
    from semantic_ids.metrics.catalogue import fitted_items
    from semantic_ids.metrics.reconstruction import reconstruct

    mapped = map_rows(Path(task.folder) / "vectors.npy")
    out = held_out(np.load(Path(task.folder) / "vector_hashes.npy"))
    fitted = system.fit(read_rows(mapped, np.flatnonzero(~out)), task.codebook_sizes, task.seed)
    codes = fitted.encode(mapped if system.streams else read_rows(mapped, slice(None)))
    tokenizer = fitted.make_tokenizer()
    seen = fitted_items(out, tokenizer.fitted_rows)
    found = reconstruct(mapped, tokenizer, codes, codes, seen, out).metrics()
    return {
        "relative_mse_fitted": float(found["reconstruction.relative_mse_fitted"]),
        "relative_mse_held_out": float(found["reconstruction.relative_mse_validation"]),
    }


def main() -> None:
    """Read a task, measure, write the row."""
    task = Task(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    row = measure(task, systems()[task.system](quick=task.quick))
    Path(sys.argv[2]).write_text(json.dumps(asdict(row)), encoding="utf-8")


if __name__ == "__main__":
    main()
