"""A FAISS index as its own file, with its provenance, and the ids where it has row numbers,
beside it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_file
from semantic_ids.compute.faiss_library import load_faiss
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.export.faiss_index import OPTION, FaissIndex, ids_beside, write_row_ids

logger = logging.getLogger(__name__)


class FaissIndexDataset(ArtifactDataset[FaissIndex, Any]):
    """`faiss.read_index(FILE)` is all that a reader needs.

    Beside the file are `….manifest.json`, written last, and, where the index has row numbers,
    `….item_ids.parquet` with the id of each row.

        faiss_index:
          type: semantic_ids.datasets.FaissIndexDataset
          filepath: data/07_model_output/semantic_ids.faiss
    """

    written_with = "an index, which export.faiss=true asks for"

    @property
    def manifest(self) -> Path:
        """Where the provenance is."""
        return self._filepath.with_name(f"{self._filepath.name}.manifest.json")

    @property
    def item_ids(self) -> Path:
        """Where the ids are, if the index does not hold them."""
        return ids_beside(self._filepath)

    @property
    def artifact(self) -> str:
        """Its name in the catalog."""
        return "faiss_index"

    def load(self) -> Any:
        """Read FAISS's index."""
        faiss, place = load_faiss(OPTION), self.found()
        try:
            return faiss.read_index(str(place))
        except RuntimeError as error:
            raise self.damaged(error) from error

    def save(self, data: FaissIndex) -> None:
        """Write index, ids and manifest; without an index, remove one of other IDs."""
        if data.index is None:
            self._remove_stale(data.provenance)
            return
        with atomic_file(self._filepath) as temporary:
            load_faiss(OPTION).write_index(data.index, str(temporary))
            self.manifest.unlink(missing_ok=True)  # not before the new index is whole
        self._save_ids(data)
        with atomic_file(self.manifest) as temporary:
            manifest = json.dumps(data.provenance.to_json(), indent=2, sort_keys=True)
            temporary.write_text(manifest + "\n", encoding="utf-8")

    def _save_ids(self, data: FaissIndex) -> None:
        if data.item_ids is None:
            self.item_ids.unlink(missing_ok=True)
            return
        with atomic_file(self.item_ids) as temporary:
            write_row_ids(data.item_ids, temporary)

    def _remove_stale(self, wanted: Provenance) -> None:
        """Remove an index that was made from other IDs: it would be taken for one of these."""
        if not self._exists() or self._inputs() == wanted.inputs:
            return
        for path in (self.manifest, self._filepath, self.item_ids):
            path.unlink(missing_ok=True)
        logger.info("%s was made from other IDs and is removed", self._filepath)

    def _inputs(self) -> dict[str, str]:
        try:
            return Provenance.from_json(json.loads(self.manifest.read_text("utf-8"))).inputs
        except (OSError, ValueError, KeyError):
            return {}
