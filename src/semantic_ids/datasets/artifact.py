"""What our datasets have in common.

A path, metadata for kedro-viz, and one clear line for what is missing or damaged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from kedro.io import AbstractDataset

from semantic_ids.atomic import recover
from semantic_ids.errors import BadInput

In, Out = TypeVar("In"), TypeVar("Out")


class ArtifactDataset(AbstractDataset[In, Out]):
    """A file or folder that a stage writes whole or not at all.

    Args:
        filepath: Where it rests.
        metadata: Read by kedro-viz: layer and preview.

    Attributes:
        written_with: Where its stage writes it only if asked to: what is written when.
    """

    written_with: ClassVar[str | None] = None

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        recover(self._filepath)
        return self._filepath.exists()

    def found(self) -> Path:
        """Return the path of what is there.

        Raises:
            BadInput: There is nothing yet.
        """
        if not self._exists():
            raise BadInput(
                "there is no such artifact yet",
                where=str(self._filepath),
                expected=self.written_with,
                make=self.artifact,
            )
        return self._filepath

    def damaged(self, reason: object) -> BadInput:
        """Return the error for an artifact that cannot be read."""
        return BadInput(
            f"cannot be read: {reason}",
            where=str(self._filepath),
            expected=self.written_with,
            remake=self.artifact,
        )

    @property
    def artifact(self) -> str:
        """Its name in the catalog: that of its file."""
        return self._filepath.stem
