"""What is recommended to each user, as one parquet file with a row a user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from kedro_datasets._typing import TablePreview

from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.datasets.table import provenance_of, read_parquet
from semantic_ids.export.ids_table import with_provenance

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.recommenders.recommendations import Lists, Recommendations

USERS_A_GROUP = 1 << 15


class RecommendationsDataset(ArtifactDataset["Recommendations", "pa.Table"]):
    """Columns `user`, `item_ids` and `log_probabilities`.

    The last two are fixed-size lists, the likeliest item first; null where fewer could be
    recommended.
    """

    def load(self) -> pa.Table:
        """Read the whole table."""
        table = read_parquet(self)
        provenance_of(self, table)
        return table

    def save(self, data: Recommendations) -> None:
        """Write row group by row group, as they are made."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        users = pa.array(data.users) if not isinstance(data.users, pa.Array) else data.users
        items = pa.array(data.item_ids) if not hasattr(data.item_ids, "type") else data.item_ids
        schema = with_provenance(_schema(users.type, items.type, data.k), data.provenance, k=data.k)
        with (
            atomic_file(self._filepath) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for group in _groups(data.parts()):
                columns = [_columns(users, items, lists) for lists in group]
                batches = [pa.RecordBatch.from_arrays(found, schema=schema) for found in columns]
                writer.write_table(pa.Table.from_batches(batches, schema=schema))

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))


def _groups(parts: Iterator[Lists]) -> Iterator[list[Lists]]:
    """Yield the lists of so many users that they make a row group."""
    group: list[Lists] = []
    for lists in parts:
        group.append(lists)
        if group[-1][0].stop - group[0][0].start >= USERS_A_GROUP:
            yield group
            group = []
    if group:
        yield group


def _schema(user: pa.DataType, item: pa.DataType, k: int) -> pa.Schema:
    import pyarrow as pa

    lists = {"item_ids": pa.list_(item, k), "log_probabilities": pa.list_(pa.float32(), k)}
    return pa.schema({"user": user, **lists})


def _columns(users: Any, items: Any, lists: Lists) -> list[Any]:
    import pyarrow as pa

    at, rows, scores = lists
    missing = (rows < 0).ravel()
    chosen = items.take(pa.array(np.maximum(rows, 0).ravel(), mask=missing))
    found = (chosen, pa.array(scores.ravel().astype(np.float32), mask=missing))
    return [users[at], *(pa.FixedSizeListArray.from_arrays(v, rows.shape[1]) for v in found)]
