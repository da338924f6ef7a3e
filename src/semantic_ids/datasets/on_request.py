"""What a stage writes only if it is asked to, and does not leave behind when IDs change."""

from __future__ import annotations

import logging
import shutil
from abc import abstractmethod
from typing import Any

from semantic_ids.artifacts import OnRequest
from semantic_ids.datasets.artifact import ArtifactDataset

logger = logging.getLogger(__name__)


class OnRequestDataset(ArtifactDataset[OnRequest[Any], Any]):
    """Saves itself what it is given; nothing, in the place of one of other IDs, removes that."""

    def save(self, data: OnRequest[Any]) -> None:
        """Write it, whole or not at all."""
        if data.made is None:
            self._remove_stale(data.request.inputs["semantic_ids"])
        else:
            self._write(data.made)

    def _write(self, made: Any) -> None:
        made.save(self._filepath)

    @abstractmethod
    def _made_from(self) -> str:
        """Return the fingerprint of the IDs that what is there was made from.

        Raises:
            BadInput: It cannot be read.
        """

    def _remove_stale(self, wanted: str) -> None:
        """Remove what was made from other IDs: it would be taken for that of these."""
        try:
            if not self._exists() or self._made_from() in ("", wanted):
                return
        except ValueError:  # not ours, or damaged: whoever reads it is told
            return
        if self._filepath.is_dir():
            shutil.rmtree(self._filepath)
        else:
            self._filepath.unlink()
        logger.info("%s was made from other IDs and is removed", self._filepath)
