"""What other pipelines have made before, for one that takes it where it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from semantic_ids.workflows.earlier import Earlier


class EarlierDataset(AbstractDataset[None, Earlier]):
    """Files of other entries of the catalog; none of them need exist.

    Args:
        tokenizer: Folder of the tokenizer.
        semantic_ids: File of the IDs.
        codes: File of the codes.
        training_history: File of the training's history.
        training_results: File of its results.
        metadata: Read by kedro-viz.
    """

    def __init__(
        self,
        tokenizer: str,
        semantic_ids: str,
        codes: str,
        training_history: str,
        training_results: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        files = (tokenizer, semantic_ids, codes, training_history, training_results)
        self._earlier = Earlier(*map(Path, files))
        self.metadata = metadata

    def load(self) -> Earlier:
        """Return where they are; nothing is read yet."""
        return self._earlier

    def save(self, data: None) -> None:
        """Refuse: the entries themselves are written."""
        raise DatasetError("these files are written by the entries of the catalog they belong to")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"tokenizer": str(self._earlier.tokenizer)}
