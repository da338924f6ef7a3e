"""Where trainings keep their checkpoints; a training writes them itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from semantic_ids.artifacts import CheckpointPlace


class CheckpointsDataset(AbstractDataset[None, CheckpointPlace]):
    """The folder of all checkpoints; it need not exist.

    Args:
        folder: Where it rests.
        root: Folder that relative paths of checkpoints start at.
        metadata: Read by kedro-viz.
    """

    def __init__(self, folder: str, root: str, metadata: dict[str, Any] | None = None) -> None:
        self._place = CheckpointPlace(Path(root) / folder, Path(root))
        self.metadata = metadata

    def load(self) -> CheckpointPlace:
        """Return the place; nothing is read yet."""
        return self._place

    def save(self, data: None) -> None:
        """Refuse: the training writes its checkpoints itself."""
        raise DatasetError("checkpoints are written by the training")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._place.folder)}
