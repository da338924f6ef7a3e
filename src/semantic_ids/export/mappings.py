"""Item id → semantic ID, as one JSON object that is written as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.artifacts import Provenance

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Mappings:
    """Item ids with their IDs.

    Attributes:
        item_ids: n ids, int64 or string.
        codes: Shape (n, W), int32: the semantic IDs.
        provenance: What they were made from.
    """

    item_ids: pa.Array | pa.ChunkedArray
    codes: np.ndarray
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.codes)

    def lines(self) -> Iterator[str]:
        """Yield the JSON text `{"1": [45, 123, 67], …}` piece by piece, one item a line.

        Write it as UTF-8.

        The pieces joined are one JSON object. Memory is that of one chunk, however many items there
        are.
        """
        yield "{"
        for rows in chunks(len(self)):
            text = ",\n".join(
                _entries(self.item_ids.slice(rows.start, rows.stop - rows.start), self.codes[rows])
            )
            yield f"{',' if rows.start else ''}\n{text}"
        yield "\n}\n"


def _entries(item_ids: pa.Array | pa.ChunkedArray, codes: np.ndarray) -> list[str]:
    """Write `"id": [codes]` for each item: (m,) ids, (m, W) codes → m strings."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array(
        [json.dumps(str(i), ensure_ascii=False) for i in item_ids.to_pylist()], pa.string()
    )
    columns = [
        pc.cast(pa.array(np.ascontiguousarray(codes[:, level])), pa.string())
        for level in range(codes.shape[1])
    ]
    return pc.binary_join_element_wise(
        names, ": [", pc.binary_join_element_wise(*columns, ", "), "]", ""
    ).to_pylist()
