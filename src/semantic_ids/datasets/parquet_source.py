"""The embeddings of the user."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from semantic_ids.datasets.previews import table_preview
from semantic_ids.ingestion import ParquetSource


def from_root(location: str, root: str) -> str:
    """Return a location whose relative path starts at `root`.

    URLs and absolute paths are unchanged.
    """
    if "://" in location or "::" in location:
        return location
    path = Path(root) / Path(location).expanduser()
    if glob.has_magic(location) and path.is_relative_to(root) and not path.exists():
        # only what was given is a pattern, not the folder that the project lies in
        return str(Path(glob.escape(root)) / path.relative_to(root))
    return str(path)


class ParquetSourceDataset(AbstractDataset[None, ParquetSource]):
    """A parquet file, a folder of them, a glob or an fsspec URL, to be read in small batches.

    Args:
        location: The file, folder, glob or URL.
        root: Folder that a relative location starts at.
        metadata: Read by kedro-viz.
    """

    def __init__(self, location: str, root: str, metadata: dict[str, Any] | None = None) -> None:
        self._location = from_root(str(location), root)
        self.metadata = metadata

    def load(self) -> ParquetSource:
        """Return the source: its files are found, and nothing is read yet.

        Raises:
            BadInput: There are none, which is said before labels are missed.
        """
        source = ParquetSource(self._location)
        _ = source.files
        return source

    def save(self, data: None) -> None:
        """Refuse: this is the user's."""
        raise DatasetError("item_embeddings is only read, never written")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows, without reading more than that takes."""
        return TablePreview(table_preview(ParquetSource(self._location).head(nrows)))

    def _exists(self) -> bool:
        return ParquetSource(self._location).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._location}
