"""What is recommended to each user, as one parquet file with a row a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kedro_datasets._typing import TablePreview

from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.datasets.table import provenance_of, read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.recommenders.recommendations import Recommendations


class RecommendationsDataset(ArtifactDataset["Recommendations", "pa.Table"]):
    """Columns `user`, `item_ids` and `log_probabilities`, the last two fixed-size lists."""

    def load(self) -> pa.Table:
        """Read the whole table."""
        table = read_parquet(self)
        provenance_of(self, table)
        return table

    def save(self, data: Recommendations) -> None:
        """Write row group by row group, as they are made."""
        from semantic_ids.workflows.recommendation_file import write_recommendations

        with atomic_file(self._filepath) as temporary:
            write_recommendations(temporary, data)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))
