"""The catalogue as FAISS's index of it, searched from a file or a pipe of queries.

An index is what `export.faiss` writes: it takes raw vectors, and has all that comes before the
codes in it. It is exhaustive, so a query takes time as there are items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.compute.faiss_library import load_faiss
from semantic_ids.errors import BadInput
from semantic_ids.export.faiss_index import ids_beside
from semantic_ids.extras import load
from semantic_ids.publishing.locations import INDEX, newest
from semantic_ids.runtime.blocks import Block
from semantic_ids.runtime.checks import require_sound


@dataclass(frozen=True)
class Found:
    """The nearest items of some queries, the nearest first.

    Attributes:
        queries: The queries they are of.
        first_row: Number of the first query.
        item_ids: Shape (m, k), int64 or text.
        distances: Shape (m, k), float32: squared, in the space of the input.
    """

    queries: Block
    first_row: int
    item_ids: np.ndarray
    distances: np.ndarray

    def names(self) -> list[Any]:
        """Return the ids of the queries, or their row numbers where they have none."""
        rows = range(self.first_row, self.first_row + len(self.queries))
        ids = self.queries.ids
        if ids is None:
            return list(rows)
        given = ids if isinstance(ids, list) else ids.to_pylist()
        return [row if item is None else item for item, row in zip(given, rows, strict=True)]


class Index:
    """An index with the ids of its items; `load_index` makes one.

    Args:
        index: FAISS's.
        item_ids: The id of each row, None where the index has ids itself.
        faiss: The library.

    Attributes:
        dim: Dimensions D of a query.
        ids: Type of what is found.
    """

    def __init__(self, index: Any, item_ids: np.ndarray | None, faiss: Any) -> None:
        self._index, self._item_ids = index, item_ids
        self.dim: int = index.d
        self.ids = np.dtype(np.int64) if item_ids is None else item_ids.dtype
        self._normalizes = _normalizes(index, faiss)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, queries: Iterator[Block], k: int) -> Iterator[Found]:
        """Find the k nearest items of each query.

        Raises:
            BadInput: There are fewer than k items, or a query holds NaN, or has no direction where
                vectors are brought to unit length.
        """
        if not 1 <= k <= len(self):
            raise BadInput(f"-k {k}", expected=f"1 to {len(self)}, the number of items")
        done = 0
        for block in queries:
            with np.errstate(over="ignore"):
                x = np.ascontiguousarray(block.values, dtype=np.float32)
            require_sound(x, self._normalizes, block.name)
            distances, rows = self._index.search(x, k)
            ids = rows if self._item_ids is None else self._item_ids[rows]
            yield Found(block, done, ids, distances)
            done += len(block)


def load_index(place: str | Path, threads: int | None = None) -> Index:
    """Load an index.

    Args:
        place: The file, a folder with it, a generation, or a folder of generations.
        threads: Threads of FAISS; its own choice if None.

    Raises:
        BadInput: There is none, it cannot be read, or FAISS is not installed.
    """
    file = _file(Path(place))
    faiss = load_faiss("search")
    if threads is not None:
        faiss.omp_set_num_threads(threads)
    try:
        index = faiss.read_index(str(file))
    except RuntimeError as error:
        raise _damaged(file, str(error).splitlines()[-1]) from error
    names = ids_beside(file)
    item_ids = _item_ids(names) if names.exists() else None
    if item_ids is not None and len(item_ids) != index.ntotal:
        raise _damaged(names, f"{len(item_ids)} ids for {index.ntotal} items")
    return Index(index, item_ids, faiss)


def _file(place: Path) -> Path:
    if place.is_file():
        return place
    folder = newest(place)
    if not (folder / INDEX).is_file():
        raise BadInput(
            f"there is no {INDEX}",
            where=str(folder),
            expected="the index of a catalogue, or a folder with it",
            do="name the folder where export.faiss=true writes it, such as data/07_model_output",
        )
    return folder / INDEX


def _item_ids(file: Path) -> np.ndarray:
    """Return the id of each row: int64, or text of one width."""
    parquet = load("pyarrow.parquet", "search")
    try:
        return np.array(parquet.read_table(file)["item_id"].to_pylist())
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(file, str(error)) from error


def _normalizes(index: Any, faiss: Any) -> bool:
    """Whether queries are brought to unit length first."""
    if not isinstance(index, faiss.IndexPreTransform):
        return False
    steps = (faiss.downcast_VectorTransform(index.chain.at(i)) for i in range(index.chain.size()))
    return any(isinstance(step, faiss.NormalizationTransform) for step in steps)


def _damaged(file: Path, reason: str) -> BadInput:
    return BadInput(
        f"it cannot be read: {reason}",
        where=str(file),
        expected="an index as it was written",
        do="write it again with export.faiss=true",
    )
