"""Codes, or the semantic IDs made of them, as one parquet file with a row an item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from kedro_datasets._typing import TablePreview

from semantic_ids.artifacts import Codes, require_content
from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.datasets.table import provenance_of, read_parquet, with_provenance
from semantic_ids.hashing import fingerprint

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP = 1 << 18


class CodesDataset(ArtifactDataset[Codes, Codes]):
    """Columns `item_id`, `codes` (fixed-size list<int32>) and, for semantic IDs, `semantic_id`.

    A string of tokens.

    Args:
        filepath: The parquet file.
        tokens: Write the column `semantic_id`.
        metadata: Read by kedro-viz.
    """

    def __init__(
        self, *, filepath: str, tokens: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, metadata=metadata)
        self.tokens = tokens

    def load(self) -> Codes:
        """Read ids and codes, and leave the strings where they are."""
        table = read_parquet(self, ["item_id", "codes"])
        provenance = provenance_of(self, table)
        try:
            layout = json.loads(table.schema.metadata[b"semantic_ids.layout"])
        except (KeyError, ValueError) as error:
            raise self.damaged("it does not say how its codes are laid out") from error
        codes = (
            table["codes"]
            .combine_chunks()
            .flatten()
            .to_numpy()
            .reshape(len(table), len(layout["sizes"]))
        )
        require_content(provenance, fingerprint(codes))
        return Codes(
            table["item_id"].combine_chunks(),
            codes,
            tuple(layout["sizes"]),
            layout["levels"],
            provenance,
        )

    def save(self, data: Codes) -> None:
        """Write ids and codes, a row group at a time."""
        import pyarrow.parquet as pq

        layout = {"sizes": list(data.sizes), "levels": data.levels}
        schema = with_provenance(
            self._rows(data, slice(0, 0)).schema, data.provenance, layout=layout
        )
        with (
            atomic_file(self._filepath) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for start in range(0, len(data), ROWS_A_GROUP):
                writer.write_table(
                    self._rows(data, slice(start, start + ROWS_A_GROUP)).cast(schema)
                )

    def _rows(self, data: Codes, rows: slice) -> pa.Table:
        import pyarrow as pa

        from semantic_ids.export.tokens import token_strings

        part = np.ascontiguousarray(data.codes[rows], dtype=np.int32)
        columns = {
            "item_id": data.item_ids.slice(rows.start, len(part)),
            "codes": pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]),
        }
        if self.tokens:
            columns["semantic_id"] = token_strings(part)
        return pa.table(columns)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))
