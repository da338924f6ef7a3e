"""The folder of all published generations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import JSONPreview

from semantic_ids.publishing.bundles import newest
from semantic_ids.publishing.locations import latest
from semantic_ids.publishing.manifest import read_manifest

if TYPE_CHECKING:
    from semantic_ids.workflows.publications import Publication


class BundlesDataset(AbstractDataset["Publication", Path]):
    """A folder a generation, and the file `latest`; loads as the path.

    Args:
        filepath: The folder.
        metadata: Read by kedro-viz.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder; nothing is read yet."""
        return self._filepath

    def save(self, data: Publication) -> None:
        """Publish a generation, whole or not at all."""
        data.publish(self._filepath)

    def preview(self) -> JSONPreview:
        """Return the manifest of the newest generation."""
        return JSONPreview(json.dumps(dict(read_manifest(latest(self._filepath)).values)))

    def _exists(self) -> bool:
        return newest(self._filepath) is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class PublishedDataset(AbstractDataset[None, Path]):
    """The folder of bundles as it is before a run; it need not exist.

    Args:
        folder: The folder.
        metadata: Read by kedro-viz.
    """

    def __init__(self, folder: str, metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(folder)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder; nothing is read yet."""
        return self._folder

    def save(self, data: None) -> None:
        """Refuse: `bundles` is what is written."""
        raise DatasetError("generations are written by the entry 'bundles'")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}
