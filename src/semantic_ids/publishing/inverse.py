"""From IDs back to items, also where several items share an ID.

`items_by_id.parquet` has a row an ID, in key order: row m is the ID whose node in the trie is m, so
what a model has written is looked up without a search through the file.

    codes         fixed-size list<int32>      the ID
    semantic_id   string                      its tokens
    items         list<item id>               its items, in the order of `semantic_ids.parquet`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.atomic import atomic_file
from semantic_ids.codes import sizes_of
from semantic_ids.errors import BadInput
from semantic_ids.export.tokens import codes_column, token_strings
from semantic_ids.grouping import Groups
from semantic_ids.publishing.trie_arrays import id_keys

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "items_by_id.parquet"
ROWS_A_GROUP = 1 << 17
MADE_FROM = b"semantic_ids.made_from"


@dataclass(frozen=True, eq=False)
class Inverse:
    """Items of each ID, as compressed sparse rows.

    Attributes:
        order: Shape (n,), int64: rows of the items, ID after ID in key order.
        starts: Shape (m + 1,), int64: the rows of ID m are order[starts[m] : starts[m + 1]].
    """

    order: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, sizes: Sequence[int]) -> Inverse:
        """Group items by their IDs.

        Args:
            codes: Shape (n, L), integers.
            sizes: L sizes; `codes[:, l]` is in `[0, sizes[l])`.
        """
        keys, _ = id_keys(codes, sizes_of(sizes))
        groups = Groups.by(keys)
        return cls(groups.rows, np.concatenate([[0], np.cumsum(groups.sizes)]))

    def __len__(self) -> int:
        """How many different IDs there are."""
        return len(self.starts) - 1

    def rows(self, number: int) -> np.ndarray:
        """Return the rows of the items of an ID: `number` is that of its node in the trie."""
        if not 0 <= number < len(self):
            raise BadInput(f"there is no ID number {number}", expected=f"0 to {len(self) - 1}")
        return self.order[self.starts[number] : self.starts[number + 1]]


@dataclass(frozen=True, eq=False)
class ItemsById:
    """What the file is made of.

    Attributes:
        item_ids: n ids, integers or strings.
        codes: Shape (n, L), int32: their IDs.
        sizes: L sizes.
        made_from: Fingerprint of the semantic IDs.
    """

    item_ids: pa.Array | pa.ChunkedArray | Iterable[int | str]
    codes: np.ndarray
    sizes: tuple[int, ...]
    made_from: str = ""

    def save(self, file: str | Path) -> None:
        """Write the file, whole or not at all, some IDs at a time."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        inverse = Inverse.of(self.codes, self.sizes)
        given = self.item_ids
        ids = given if isinstance(given, (pa.Array, pa.ChunkedArray)) else pa.array(list(given))
        width = self.codes.shape[1]
        schema = pa.schema(
            {
                "codes": pa.list_(pa.int32(), width),
                "semantic_id": pa.string(),
                "items": pa.list_(ids.type),
            },
            {MADE_FROM: self.made_from.encode()},
        )
        with (
            atomic_file(file) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for first in range(0, len(inverse), ROWS_A_GROUP):
                writer.write_table(self._rows(inverse, ids, first).cast(schema))

    def _rows(self, inverse: Inverse, ids: pa.Array | pa.ChunkedArray, first: int) -> pa.Table:
        """Return the rows of some IDs."""
        import pyarrow as pa

        starts = inverse.starts[first : first + ROWS_A_GROUP + 1]
        order = inverse.order[starts[0] : starts[-1]]
        codes = self.codes[order[starts[:-1] - starts[0]]]
        items = ids.take(pa.array(order))
        if isinstance(items, pa.ChunkedArray):
            items = items.combine_chunks()
        offsets = pa.array((starts - starts[0]).astype(np.int32))
        return pa.table(
            {
                "codes": codes_column(codes),
                "semantic_id": token_strings(codes),
                "items": pa.ListArray.from_arrays(offsets, items),
            }
        )
