"""What a search has found, as an array, parquet or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.extras import load
from semantic_ids.runtime.files import PIPE, created
from semantic_ids.runtime.npy import write_header
from semantic_ids.runtime.search import Found

Write = Callable[[Iterator[Found], str], int]


def write_lines(found: Iterator[Found], target: str) -> int:
    """Write a line a query, and return how many there are.

    `{"query": …, "item_ids": […], "distances": […]}`.
    """
    done = 0
    with created(target) as out:
        for some in found:
            rows = zip(some.names(), some.item_ids.tolist(), some.distances.tolist(), strict=True)
            for name, ids, distances in rows:
                line = {"query": name, "item_ids": ids, "distances": distances}
                out.write(f"{json.dumps(line, ensure_ascii=False)}\n".encode())
            if target == PIPE:
                out.flush()
            done += len(some.queries)
    return done


def write_array(found: Iterator[Found], target: str, shape: tuple[int, int], ids: np.dtype) -> int:
    """Write an array (n, k) with the fields `item_id` and `distance`, and return n."""
    fields = np.dtype([("item_id", ids), ("distance", np.float32)])
    with created(target) as out:
        write_header(out, shape, fields)
        for some in found:
            _write_rows(out, some, fields)
    return shape[0]


def _write_rows(out: IO[bytes], some: Found, fields: np.dtype) -> None:
    rows = np.empty(some.item_ids.shape, dtype=fields)
    rows["item_id"], rows["distance"] = some.item_ids, some.distances
    out.write(rows.tobytes())


def write_table(found: Iterator[Found], target: str) -> int:
    """Write parquet with a row a query: `query`, `item_ids` and `distances`; return the rows."""
    pq = load("pyarrow.parquet", "search", ", or write .jsonl")
    done, writer = 0, None
    with atomic_file(target, "-o") as temporary:
        try:
            for some in found:
                table = _table(some)
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
                done += len(table)
            if writer is None:
                pq.write_table(_empty(), temporary)
        finally:
            if writer is not None:
                writer.close()
    return done


def _table(some: Found) -> Any:
    import pyarrow as pa

    k = some.item_ids.shape[1]
    ids = pa.array(some.item_ids.ravel().tolist())
    columns = {
        "query": pa.array(some.names()),
        "item_ids": pa.FixedSizeListArray.from_arrays(ids, k),
        "distances": pa.FixedSizeListArray.from_arrays(pa.array(some.distances.ravel()), k),
    }
    return pa.table(columns)


def _empty() -> Any:
    import pyarrow as pa

    lists = pa.list_(pa.int64())
    kinds = {"query": pa.int64(), "item_ids": lists, "distances": pa.list_(pa.float32())}
    return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})
