"""The items of each ID as one parquet file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_datasets._typing import TablePreview

from semantic_ids.datasets.on_request import OnRequestDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.datasets.table import read_parquet
from semantic_ids.publishing.inverse import MADE_FROM

if TYPE_CHECKING:
    import pyarrow as pa


class ItemsByIdDataset(OnRequestDataset):
    """Columns `codes`, `semantic_id` and `items`, a row an ID in key order.

    items_by_id:
      type: semantic_ids.datasets.ItemsByIdDataset
      filepath: data/07_model_output/items_by_id.parquet
    """

    written_with = "the items of each ID, which export.inverse=true asks for"

    def load(self) -> pa.Table:
        """Read the whole table."""
        return read_parquet(self)

    def _made_from(self) -> str:
        import pyarrow.parquet as pq

        return (pq.read_schema(self._filepath).metadata or {}).get(MADE_FROM, b"").decode()

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))
