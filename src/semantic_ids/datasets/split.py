"""Who is held out and who is in the tuning subset, as one parquet file with a row an item."""

from __future__ import annotations

from kedro_datasets._typing import TablePreview

from semantic_ids.artifacts import Split, require_content
from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.datasets.table import provenance_of, read_parquet
from semantic_ids.export.ids_table import with_provenance
from semantic_ids.hashing import fingerprint


class SplitDataset(ArtifactDataset[Split, Split]):
    """Columns `item_id`, `validation`, `tuning`, in the order of the item hash."""

    def load(self) -> Split:
        """Read the split."""
        table = read_parquet(self)
        validation, tuning = (table[name].to_numpy() for name in ("validation", "tuning"))
        provenance = provenance_of(self, table)
        require_content(provenance, fingerprint(validation, tuning))
        return Split(validation, tuning, table["item_id"].combine_chunks(), provenance)

    def save(self, data: Split) -> None:
        """Write the split."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(
            {"item_id": data.item_ids, "validation": data.validation, "tuning": data.tuning}
        )
        with atomic_file(self._filepath) as temporary:
            pq.write_table(
                table.cast(with_provenance(table.schema, data.provenance)),
                temporary,
                compression="zstd",
            )

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))
