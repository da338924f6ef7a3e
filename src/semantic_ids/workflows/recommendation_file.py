"""Recommendations as parquet: a row a user, row group by row group, as they are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.export.ids_table import with_provenance
from semantic_ids.recommenders.recommendations import Lists, Recommendations

if TYPE_CHECKING:
    import pyarrow as pa

USERS_A_GROUP = 1 << 15


def write_recommendations(file: str | Path, data: Recommendations) -> int:
    """Write the columns `user`, `item_ids` and `log_probabilities`; return how many users.

    The last two are fixed-size lists, the likeliest item first; null where fewer could be
    recommended.

    Args:
        file: Where to; the caller sees to it that it appears whole.
        data: What is recommended.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    items = _array(data.item_ids)
    schema = with_provenance(
        _schema(_array(data.nobody).type, items.type, data.k), data.provenance, k=data.k
    )
    users = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(data.parts()):
            columns = [_columns(items, lists) for lists in group]
            batches = [pa.RecordBatch.from_arrays(found, schema=schema) for found in columns]
            writer.write_table(pa.Table.from_batches(batches, schema=schema))
            users += sum(map(len, batches))
    return users


def _array(values: Any) -> pa.Array:
    import pyarrow as pa

    return values if isinstance(values, pa.Array) else pa.array(values)


def _groups(parts: Iterator[Lists]) -> Iterator[list[Lists]]:
    """Yield the lists of so many users that they make a row group."""
    group: list[Lists] = []
    for lists in parts:
        group.append(lists)
        if sum(len(users) for users, _, _ in group) >= USERS_A_GROUP:
            yield group
            group = []
    if group:
        yield group


def _schema(user: pa.DataType, item: pa.DataType, k: int) -> pa.Schema:
    import pyarrow as pa

    lists = {"item_ids": pa.list_(item, k), "log_probabilities": pa.list_(pa.float32(), k)}
    return pa.schema({"user": user, **lists})


def _columns(items: pa.Array, lists: Lists) -> list[Any]:
    import pyarrow as pa

    users, rows, scores = lists
    missing = (rows < 0).ravel()
    chosen = items.take(pa.array(np.maximum(rows, 0).ravel(), mask=missing))
    found = (chosen, pa.array(scores.ravel().astype(np.float32), mask=missing))
    listed = (pa.FixedSizeListArray.from_arrays(values, rows.shape[1]) for values in found)
    return [_array(users), *listed]
