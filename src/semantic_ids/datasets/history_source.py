"""The histories of the user."""

from __future__ import annotations

import logging
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from semantic_ids.datasets.parquet_source import from_root
from semantic_ids.datasets.previews import table_preview
from semantic_ids.errors import BadInput
from semantic_ids.ingestion.history_source import HistorySource

logger = logging.getLogger(__name__)

NOTHING = "none"
"""The location that means: there are none."""


class HistorySourceDataset(AbstractDataset[None, HistorySource]):
    """A parquet file, a folder of them (of `train`, `valid` and `test` too), a glob or a URL.

    Args:
        location: The file, folder, glob or URL, or `none`.
        root: Folder that a relative location starts at.
        metadata: Read by kedro-viz.
    """

    def __init__(self, location: str, root: str, metadata: dict[str, Any] | None = None) -> None:
        given = str(location)
        self._location = NOTHING if given == NOTHING else from_root(given, root)
        self.metadata = metadata

    def load(self) -> HistorySource:
        """Return the source: its files are found, and nothing is read yet.

        Raises:
            BadInput: There are none, or none were named.
        """
        if self._location == NOTHING:
            raise BadInput(
                "there are no histories: those of the sample are of the sample's items alone",
                expected="who had which of these items",
                do="name a parquet file of them: take histories=PATH",
            )
        source = HistorySource(self._location)
        for part in source.parts.values():
            _ = part.files
        for sentence in source.left_out:
            logger.warning("%s", sentence)
        return source

    def save(self, data: None) -> None:
        """Refuse: this is the user's."""
        raise DatasetError("user_histories is only read, never written")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, without reading more than that takes."""
        if self._location == NOTHING:
            return TablePreview({"index": [], "columns": [], "data": []})
        return TablePreview(table_preview(HistorySource(self._location).head(nrows)))

    def _exists(self) -> bool:
        return self._location != NOTHING and HistorySource(self._location).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location}
