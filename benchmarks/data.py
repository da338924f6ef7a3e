"""The data sets of the benchmark, ingested as the project ingests them.

Rows in the order of the item hash, memory-mapped.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
MAKE_VECTORS = SHARED / "tools/make_vectors.py"
ID_COLUMN, VECTOR_COLUMN = "ItemID", "embedding"
MILLION, MILLION_DIM = 1_000_000, 768
QUICK_ITEMS = 1_500
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class DataSet:
    """Where items come from.

    Attributes:
        name: What `--data` calls it.
        title: What the report calls it.
        needs: The file without which it is skipped.
        source: Takes a folder for temporary files and whether the run is quick; returns the parquet
            file, which may be `needs`.
    """

    name: str
    title: str
    needs: Path
    source: Callable[[Path, bool], Path]

    @property
    def missing(self) -> str:
        """Why it cannot be measured, or nothing."""
        return "" if self.needs.exists() else f"{self.needs.relative_to(ROOT.parent)} is not there"


def _file(name: str, title: str, path: Path) -> DataSet:
    return DataSet(name, title, path, lambda folder, quick: path)


def _made(name: str, title: str, kind: str) -> DataSet:
    def source(folder: Path, quick: bool) -> Path:
        path = folder / f"{name}.parquet"
        rows = QUICK_ITEMS if quick else MILLION
        subprocess.run(
            [
                sys.executable,
                MAKE_VECTORS,
                path,
                f"--rows={rows}",
                f"--dim={MILLION_DIM}",
                f"--kind={kind}",
            ],
            check=True,
        )
        return path

    return DataSet(name, title, MAKE_VECTORS, source)


DATA_SETS = {
    data.name: data
    for data in (
        _file("sample", "The embedded sample (WordNet)", ROOT / "data/01_raw/item_emb.parquet"),
        _file("beauty", "Amazon Beauty", SHARED / "data/amazon_beauty/item_emb.parquet"),
        _file("wordnet", "WordNet's nouns", SHARED / "data/wordnet_nouns/item_emb_f16.parquet"),
        _made("million_even", "A million, even", "even"),
        _made("million_clustered", "A million, clustered", "clustered"),
    )
}
DEFAULT = ("sample", "beauty", "wordnet")


def prepare(data: DataSet, folder: Path, *, quick: bool) -> tuple[int, int]:
    """Ingest a data set into `folder` and return its number of items and dimensions.

    A quick run takes the first items by item hash.
    """
    from semantic_ids.datasets.embeddings import EmbeddingsDataset
    from semantic_ids.ingestion import ParquetSource
    from semantic_ids.ingestion.options import IngestOptions
    from semantic_ids.ingestion.stream import open_stream

    path = data.source(folder.parent, quick)
    options = IngestOptions(ID_COLUMN, VECTOR_COLUMN, max_items=QUICK_ITEMS if quick else None)
    stream, _ = open_stream(ParquetSource(str(path)), options)
    EmbeddingsDataset(str(folder)).save(stream)
    if path != data.needs and path.parent == folder.parent:
        path.unlink()
    return len(stream), EmbeddingsDataset(str(folder)).load().dim


def held_out(vector_hashes: np.ndarray) -> np.ndarray:
    """Return which items are held out: (n,) uint64 → (n,) bool.

    It is a matter of the vector alone, as in the stage `sample`, so every system sees the same
    split and equal vectors are on one side.
    """
    return vector_hashes < np.uint64(HELD_OUT_SHARE * 2.0**64)
