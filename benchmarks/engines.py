"""The engines of the start of rq_kmeans, side by side: seconds and errors, means over seeds.

Seconds passed, and seconds of all cores together: the steadier of the two on a shared machine.

PYTHONPATH=src python benchmarks/engines.py data/01_raw/item_emb.parquet
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.systems import PlainFaiss, base_values  # noqa: E402
from semantic_ids.identifiers import unique_codes  # noqa: E402
from semantic_ids.tokenizers import fit_tokenizer  # noqa: E402

ENGINES = ("torch", "faiss")
FITS: dict[str, dict[str, Any]] = {
    "progressive start alone": {"anneal_rounds": 0, "refine_rounds": 0, "unique_rounds": 0},
    "the whole fit": {},
    "plain, 25 iterations": PlainFaiss.without,
}


def vectors_of(file: Path) -> np.ndarray:
    """Read all vectors: (n, D) float32."""
    import pyarrow.parquet as pq

    column = pq.read_table(file, columns=["embedding"])["embedding"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return values.reshape(len(column), -1)


def fitted(
    vectors: np.ndarray, sizes: Sequence[int], seed: int, options: dict[str, Any]
) -> tuple[float, float, float]:
    """Fit as the pipeline does; return seconds, CPU seconds and the relative mean squared error."""
    started, worked = time.perf_counter(), time.process_time()
    tokenizer = fit_tokenizer(
        vectors,
        codebook_sizes=sizes,
        seed=seed,
        device="cpu",
        options=options,
        assign=partial(unique_codes, candidates=base_values("identify")["candidates"]),
    )
    seconds, work = time.perf_counter() - started, time.process_time() - worked
    left = vectors - tokenizer.decode(tokenizer.encode(vectors))
    centred = vectors - vectors.mean(axis=0)
    return seconds, work, float((left**2).sum(dtype=float) / (centred**2).sum(dtype=float))


def rows(
    vectors: np.ndarray, sizes: Sequence[int], seeds: Sequence[int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each fit with its means: (3, 2), what `fitted` returns with each engine.

    Both engines fit with a seed before the next one, so that a slow minute slows both.
    """
    base = base_values("tokenizer")["rq_kmeans"]
    for engine in ENGINES:  # libraries are loaded, and threads started, before anything is timed
        fitted(vectors[: 8 * max(sizes)], sizes, 0, base | PlainFaiss.without | {"engine": engine})
    for name, changed in FITS.items():
        found = np.array(
            [
                [fitted(vectors, sizes, seed, base | changed | {"engine": e}) for e in ENGINES]
                for seed in seeds
            ]
        )
        yield name, found.mean(axis=0).T


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="parquet files, column `embedding`")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", default="256x256x256")
    given = parser.parse_args(words)
    sizes = [int(size) for size in given.sizes.split("x")]
    for file in given.files:
        vectors = vectors_of(file)
        print(f"\n**{file}, {len(vectors):,} × {vectors.shape[1]}, {given.seeds} seeds**\n")
        print("| | torch, s | faiss, s | torch, CPU s | faiss, CPU s | error, torch | faiss |")
        print("|---|---|---|---|---|---|---|")
        for name, (seconds, work, errors) in rows(vectors, sizes, range(42, 42 + given.seeds)):
            cells = [f"{value:.2f}" for value in (*seconds, *work)]
            cells += [f"{value:.4f}" for value in errors]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
