"""Codes, or the semantic IDs made of them, as one parquet file with a row an item."""

from __future__ import annotations

from typing import Any

from kedro_datasets._typing import TablePreview

from semantic_ids.artifacts import Codes
from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.datasets.previews import parquet_head, table_preview
from semantic_ids.errors import BadInput
from semantic_ids.export.ids_table import read_ids, write_ids


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
        file = self.found()
        try:
            return read_ids(file)
        except BadInput:
            raise
        except (OSError, ValueError, KeyError) as error:  # pyarrow's are OSErrors or ValueErrors
            raise self.damaged(error) from error

    def save(self, data: Codes) -> None:
        """Write ids and codes, a row group at a time."""
        with atomic_file(self._filepath) as temporary:
            write_ids(temporary, data, tokens=self.tokens)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        return table_preview(parquet_head(str(self.found()), nrows))
