"""What users hold vectors and item ids in → arrays.

numpy arrays and memory maps, torch tensors, columns of lists (of pandas, polars or pyarrow), lists,
parquet files. Other libraries' objects are recognised by what they can do: none is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.errors import BadInput

KEPT = (np.float32, np.float16)
"""Types of vectors that are taken as they are; all others become float32."""


@dataclass(frozen=True, eq=False)
class Items:
    """Vectors with what they are called, in the order of the item hash.

    Attributes:
        item_ids: n ids, whole numbers or strings.
        vectors: Shape (n, D).
    """

    item_ids: list[Any]
    vectors: np.ndarray


def read_items(
    path: str | Path, id_column: str = "ItemID", vector_column: str = "embedding"
) -> Items:
    """Read item ids and vectors of parquet files, checked as the pipeline `ingest` checks them.

    All vectors are held in memory: for catalogues beyond it, run the pipeline.

    Args:
        path: A file, a folder of files, a glob or an fsspec URL.
        id_column: Column of the item ids: whole numbers, or strings.
        vector_column: Column of the vectors: lists of numbers.

    Raises:
        BadInput: A file, a column or a row is not what it should be.

    Examples:
        >>> import tempfile
        >>> import pandas as pd
        >>> from semantic_ids import read_items
        >>> path = f"{tempfile.mkdtemp()}/items.parquet"
        >>> table = pd.DataFrame({"sku": ["a", "b"], "vector": [[1.0, 2.0], [3.0, 4.0]]})
        >>> table.to_parquet(path)
        >>> items = read_items(path, id_column="sku", vector_column="vector")
        >>> sorted(items.item_ids), items.vectors.shape
        (['a', 'b'], (2, 2))
    """
    from semantic_ids.ingestion.options import IngestOptions
    from semantic_ids.ingestion.source import ParquetSource
    from semantic_ids.ingestion.stream import open_stream

    options = IngestOptions(id_column=id_column, vector_column=vector_column)
    stream, _ = open_stream(ParquetSource(str(path)), options)
    vectors = np.empty((len(stream), stream.dim), dtype=stream.dtype)
    for rows in stream.batches():
        vectors[rows.positions] = rows.vectors
    return Items(stream.item_ids.to_pylist(), vectors)


def as_vectors(x: Any) -> np.ndarray:
    """Return vectors as an array (n, D), or one vector as (D,), of float32 or float16.

    Arrays and memory maps of these types are not copied.

    Raises:
        BadInput: They are not numbers, or not all of one length.
    """
    if isinstance(x, (str, Path)):
        return read_items(x).vectors
    array = _as_array(x)
    if array.dtype == object:
        array = _stacked(array)
    if array.dtype.kind not in "fiub" or array.ndim not in (1, 2) or not array.shape[-1]:
        raise BadInput(
            f"an array of {array.dtype} with the shape {array.shape}",
            where="vectors",
            expected="real numbers of shape (n, D), or (D,) for one vector",
        )
    return array if array.dtype in KEPT else array.astype(np.float32)


def items_of(x: Any, item_ids: Any = None) -> tuple[np.ndarray, list[Any] | None]:
    """Return many vectors (n, D), and the ids that were given or are in the file, None without.

    Raises:
        BadInput: They are one vector, or ids were given for a file that has its own.
    """
    x = read_items(x) if isinstance(x, (str, Path)) else x
    if isinstance(x, Items):
        if item_ids is not None:
            raise BadInput("given for items that have ids", where="item_ids", expected="none")
        return x.vectors, x.item_ids
    vectors = as_vectors(x)
    if vectors.ndim == 1:
        raise BadInput(
            f"one vector of {len(vectors):,} dimensions",
            where="vectors",
            expected="several, of shape (n, D)",
            do="give it as `x.reshape(1, -1)` if it is one item",
        )
    return vectors, None if item_ids is None else as_item_ids(item_ids)


def in_order(rows: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Put rows into an order; they are not copied where they are in it, or where there is none."""
    return rows if order is None or (order == np.arange(len(order))).all() else rows[order]


def as_codes(codes: Any) -> np.ndarray:
    """Return codes as an array of integers, (m, p) or (p,).

    Raises:
        BadInput: They are no integers, or not all of one length.
    """
    array = _as_array(codes)
    array = _stacked(array) if array.dtype == object else array
    if array.dtype.kind not in "iu" and array.size:
        raise BadInput(f"an array of {array.dtype}", where="codes", expected="whole numbers")
    return array.astype(np.int64, copy=False)


def hash_order(item_ids: Sequence[Any], n: int) -> np.ndarray:
    """Return the row numbers of n items in the order of their item hash, as the pipeline has them.

    Raises:
        BadInput: There are not n ids, one occurs twice, or they are no whole numbers or strings.
    """
    from semantic_ids.ingestion.order import ItemIds

    values = as_item_ids(item_ids)
    if len(values) != n:
        raise BadInput(
            f"{len(values):,} item ids for {n:,} vectors", where="item_ids", expected="one a vector"
        )
    ids = ItemIds(*_hashed(values), np.zeros(0, np.int64), np.zeros(0, np.int64))
    ordered = ids.in_order(np.arange(n))
    for group in ids.duplicates(ordered):
        raise BadInput(
            f"item id '{ids.text(group[:1])[0]}' occurs {len(group)} times, first in rows"
            f" {group[0]} and {group[1]}",
            where="item_ids",
            expected="each once",
        )
    return ordered


def as_item_ids(item_ids: Any) -> list[Any]:
    """Return ids as a list of Python's integers or strings.

    Raises:
        BadInput: They are neither all whole numbers nor all strings.
    """
    if hasattr(item_ids, "to_pylist"):
        values = item_ids.to_pylist()
    else:
        values = _as_array(item_ids).tolist() if hasattr(item_ids, "dtype") else list(item_ids)
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1 or kinds - {"int", "str"}:
        raise BadInput(
            f"ids of type {' and '.join(sorted(kinds))}",
            where="item_ids",
            expected="whole numbers below 2**63, or strings, and not both",
        )
    return values


def _kind(value: Any) -> str:
    """Name the type of an id; integers beyond 64 bits are of no type that an id can have."""
    kind = type(value).__name__
    return "large int" if kind == "int" and not -(2**63) <= value < 2**63 else kind


def _hashed(values: list[Any]) -> tuple[Any, np.ndarray]:
    """Return ids as `ItemIds` holds them, and their hashes."""
    import pyarrow as pa

    from semantic_ids.hashing import item_hash

    text = bool(values) and isinstance(values[0], str)
    held = pa.array(values, pa.large_string()) if text else np.array(values, dtype=np.int64)
    return held, item_hash(values)


def _as_array(x: Any) -> np.ndarray:
    """Return an array of what numpy, torch, pandas, polars, pyarrow or Python hold."""
    if isinstance(x, np.ndarray):
        return x
    if hasattr(x, "detach"):  # torch; numpy knows no bfloat16
        x = x.detach().cpu()
        return (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    if hasattr(x, "to_pylist"):  # pyarrow: lists within lists stay lists with its own to_numpy
        x = x.to_pylist()
    elif hasattr(x, "to_numpy"):
        return x.to_numpy()
    elif hasattr(x, "__array__"):
        return np.asarray(x)
    x = list(x)
    try:
        return np.asarray(x)
    except ValueError:  # rows of different lengths
        return _stacked(x)


def _stacked(rows: Any) -> np.ndarray:
    """Put rows that are arrays or lists below one another: m of (D,) → (m, D).

    Raises:
        BadInput: A row is missing, is no list of numbers, or has another length than the first.
    """
    found = [_row(row, number) for number, row in enumerate(rows)]
    for number, row in enumerate(found):
        if row.shape != found[0].shape:
            raise BadInput(
                f"a row of shape {row.shape}",
                where=f"row {number}",
                expected=f"{len(found[0])} numbers, as in the first row",
            )
    return np.stack(found) if found else np.zeros((0, 0), np.float32)


def _row(row: Any, number: int) -> np.ndarray:
    try:
        found = np.array(list(row))
    except (TypeError, ValueError):  # no list, or one with lists in it
        found = np.zeros((0, 0))
    if found.ndim == 1 and found.dtype.kind in "fiub":
        return found
    raise BadInput(
        f"{type(row).__name__} where a list of numbers belongs",
        where=f"row {number}",
        expected="an array (n, D), or a column of lists",
        do="of a data frame give one column, such as `frame['embedding']`",
    )
