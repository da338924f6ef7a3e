"""Item ids: read once, hashed, put in order, and searched for duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash, order_of_items, tied
from semantic_ids.ingestion.columns import as_integers, as_text, is_text, may_be_null
from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.progress import Progress

LARGEST_ID = 2**63 - 1
STRING_BYTES = 2**31 - 1
"""A string array holds this many bytes; longer ones become large_string."""


@dataclass(frozen=True)
class ItemIds:
    """The ids of all rows, in file order.

    Attributes:
        values: n ids: a numpy array of int64, or an array of large_string.
        hashes: Shape (n,), uint64: `hashing.item_hash` of each.
        null: Numbers of the rows without an id, ascending.
        too_large: Numbers of the rows whose id does not fit int64, ascending; their value here is
            0.
    """

    values: np.ndarray | pa.LargeStringArray
    hashes: np.ndarray
    null: np.ndarray
    too_large: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    def text(self, rows: np.ndarray) -> list[str]:
        """Return the ids of some rows as text."""
        if isinstance(self.values, np.ndarray):
            return [str(i) for i in self.values[rows].tolist()]
        return [str(i) for i in self.values.take(pa.array(rows)).to_pylist()]

    def take(self, rows: np.ndarray) -> pa.Array:
        """Return the ids of some rows as int64 or string.

        Large_string where string cannot hold them.
        """
        if isinstance(self.values, np.ndarray):
            return pa.array(self.values[rows])
        taken = self.values.take(pa.array(rows))
        return taken.cast(pa.string()) if taken.nbytes < STRING_BYTES else taken

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Sort row numbers by item hash.

        Equal hashes by the text of the id, equal ids by row number.
        """
        return order_of_items(self.hashes, self.text, rows)

    def duplicates(self, ordered: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the row numbers of each id that occurs more than once, given rows `in_order`."""
        among = ordered[tied(self.hashes[ordered])]
        if not len(among):
            return
        texts = np.array(self.text(among), dtype=object)
        starts = np.flatnonzero(np.concatenate([[True], texts[1:] != texts[:-1]]))
        yield from (group for group in np.split(among, starts[1:]) if len(group) > 1)


def read_ids(source: ParquetSource, column: str) -> ItemIds:
    """Read the id column of all rows.

    Args:
        source: Files whose id column is of integers in all, or of strings in all.
        column: Name of the id column.
    """
    kinds = [footer.kind(column) for footer in source.footers if footer.rows]
    text = any(is_text(kind) for kind in kinds)
    values: list[np.ndarray | pa.Array] = []
    hashes, null, too_large = (
        [np.zeros(0, np.uint64)],
        [np.zeros(0, np.int64)],
        [np.zeros(0, np.int64)],
    )
    with Progress("read the item ids", total=source.rows, unit="rows") as progress:
        for start, batch in source.batches([column]):
            ids, over = readable(batch.column(0), text, source, start)
            null.append(start + _where(pc.is_null(ids)))
            too_large.append(start + np.flatnonzero(over))
            values.append(
                ids.fill_null("") if text else ids.fill_null(0).to_numpy(zero_copy_only=False)
            )
            hashes.append(item_hash(values[-1].tolist()))
            progress.advance(len(batch))
    joined = pa.concat_arrays(values) if text else np.concatenate(values)
    return ItemIds(joined, np.concatenate(hashes), np.concatenate(null), np.concatenate(too_large))


def read_texts(source: ParquetSource, column: str) -> pa.ChunkedArray:
    """Return the ids of all rows that have one as text, large_string, in file order."""
    read = [
        readable(ids, is_text(ids.type), source, start)[0].cast(pa.large_string()).drop_null()
        for start, ids in ((start, batch.column(0)) for start, batch in source.batches([column]))
    ]
    return pa.chunked_array(read, pa.large_string())


def readable(
    ids: pa.Array, text: bool, source: ParquetSource, start: int, what: str = "an item id"
) -> tuple[pa.Array, np.ndarray]:
    """Return ids as large_string or int64, and which integers do not fit: bool, 0 in their place.

    Text has to be UTF-8.
    """
    none = np.zeros(len(ids), bool)
    if may_be_null(ids.type) or ids.null_count == len(ids):
        return pa.nulls(len(ids), pa.large_string() if text else pa.int64()), none
    if not text:
        return as_integers(ids)
    try:
        return as_text(ids), none
    except pa.ArrowInvalid as error:
        file, group, _ = source.place(start)
        raise BadInput(
            f"{what} is no text: {error}",
            where=f"{file}, row group {group}",
            expected="ids in UTF-8",
            do="write the column anew as UTF-8 strings or as integers",
        ) from error


def _where(mask: pa.Array) -> np.ndarray:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))
