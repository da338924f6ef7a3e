"""Hold what the trial foretells against what the stages then take, as rows of the table in
docs/capacity.md.

OMP_NUM_THREADS=1 python benchmarks/forecasts.py rq_kmeans NAME=embeddings.parquet[:rows] …
OMP_NUM_THREADS=1 python benchmarks/forecasts.py rq_vae --epochs=3 NAME=embeddings.parquet[:rows] …

Both are processor seconds of one thread, so that other work on the machine does not decide the
comparison. For wall seconds and memory of whole runs see `benchmarks/estimates.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("train", "encode", "deduplicate", "evaluate")
VALIDATION_SHARE = 10
"""One item in so many is watched by an rq_vae."""


def vectors_of(file: Path, rows: int | None) -> np.ndarray:
    """Read the vectors of the first rows, in the order of the file."""
    import pyarrow.parquet as pq

    parts, count = [], 0
    with pq.ParquetFile(file, pre_buffer=False) as source:
        names = [name for name in source.schema_arrow.names if name.startswith("emb")]
        column = names[0] if names else source.schema_arrow.names[-1]
        for batch in source.iter_batches(8192, columns=[column]):
            found = batch.column(0)
            flat = found.flatten().to_numpy(zero_copy_only=False)
            parts.append(flat.reshape(len(found), -1).astype(np.float32))
            count += len(found)
            if rows is not None and count >= rows:
                break
    return np.concatenate(parts)[:rows]


def told_and_found(
    vectors: np.ndarray, kind: str, epochs: int | None
) -> tuple[dict[str, float], dict[str, float], float]:
    """Return the seconds of each stage foretold and taken, and those of both."""
    from semantic_ids.forecast import Run
    from semantic_ids.forecast.trial import stage_seconds
    from semantic_ids.workflows.fitting import FitOptions

    options = _options(kind, epochs)
    n, given = len(vectors), FitOptions(kind=kind, options=options)
    watched = n // VALIDATION_SHARE
    run = Run(
        **vars(given), items=n, fit_items=n, watched_items=watched, twin_items=0, queries=1000
    )
    began = time.process_time()
    told = stage_seconds(vectors, run, time.process_time)
    return told, _taken(vectors, given, watched), time.process_time() - began


def _options(kind: str, epochs: int | None) -> dict[str, Any]:
    """Return all options of a kind, with so many epochs of which a third are for unique IDs."""
    from semantic_ids.tokenizers.options import RQKMeansOptions
    from semantic_ids.tokenizers.registry import tokenizer_class

    options = asdict(tokenizer_class(kind).options_class())
    if kind == "rq_vae":
        options["start"] = asdict(RQKMeansOptions())
        if epochs:
            options["schedule"]["epochs"] = epochs
            options["unique"]["epochs"] = epochs // 3
    return options


def _taken(vectors: np.ndarray, given: Any, watched: int) -> dict[str, float]:
    from semantic_ids.identifiers import TokenizerCosts, deduplicate
    from semantic_ids.workflows.fitting import fit
    from semantic_ids.workflows.measuring import measure

    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        made = work()
        found[name] = time.process_time() - began
        return made

    monitor = np.arange(0, len(vectors), VALIDATION_SHARE)[:watched]
    tokenizer = timed("train", lambda: fit(vectors, given, monitor_rows=monitor))
    codes = timed("encode", lambda: tokenizer.encode(vectors))
    costs = TokenizerCosts(tokenizer, vectors)
    ids = timed(
        "deduplicate",
        lambda: deduplicate(codes, costs, strategy=given.strategy, candidates=given.candidates),
    )
    timed("evaluate", lambda: measure(vectors, tokenizer, given, codes=codes, ids=ids))
    return found


def row(name: str, shape: tuple[int, ...], told: dict[str, float], found: dict[str, float]) -> str:
    """Return a row of the table: foretold / taken."""
    pairs = [(told[stage], found[stage]) for stage in STAGES]
    pairs.append((sum(told.values()), sum(found.values())))
    cells = [f"{name}, {shape[0]:,} × {shape[1]}", *(f"{a:.3g} / {b:.3g}" for a, b in pairs)]
    return f"| {' | '.join(cells)} |"


def main(words: Sequence[str]) -> None:
    """Print a row for each file."""
    if len(words) < 2:
        sys.exit(__doc__)
    kind, *rest = words
    epochs = next((int(w.partition("=")[2]) for w in rest if w.startswith("--epochs=")), None)
    for word in rest:
        if word.startswith("--"):
            continue
        name, _, place = word.partition("=")
        file, _, rows = place.partition(":")
        vectors = vectors_of(Path(file), int(rows) if rows else None)
        told, found, both = told_and_found(vectors, kind, epochs)
        trial = both - sum(found.values())
        line = row(f"{kind}, {name}", vectors.shape, told, found)
        print(f"{line} trial {trial:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
