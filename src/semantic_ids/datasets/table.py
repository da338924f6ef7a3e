"""A small table as one parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_datasets._typing import TablePreview

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.export.ids_table import made_from

if TYPE_CHECKING:
    import pyarrow as pa


class TableDataset(ArtifactDataset["pa.Table", "pa.Table"]):
    """A pyarrow table."""

    def load(self) -> pa.Table:
        """Read the whole table."""
        return read_parquet(self)

    def save(self, data: pa.Table) -> None:
        """Write the whole table."""
        import pyarrow.parquet as pq

        with atomic_file(self._filepath) as temporary:
            pq.write_table(data, temporary, compression="zstd")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))


def read_parquet(dataset: ArtifactDataset, columns: list[str] | None = None) -> pa.Table:
    """Read the file of a dataset, or some of its columns, with one clear line where it cannot be
    read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(dataset.found(), columns=columns, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise dataset.damaged(error) from error


def provenance_of(dataset: ArtifactDataset, table: pa.Table) -> Provenance:
    """Return the provenance in a table's metadata."""
    try:
        found = made_from(table)
    except (KeyError, ValueError) as error:
        raise dataset.damaged("what it was made from cannot be read") from error
    if found is None:
        raise dataset.damaged("it does not say what it was made from")
    return found
