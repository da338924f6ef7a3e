"""Item id → semantic ID as one JSON object, written as a stream, with its provenance in a file
beside it.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from kedro_datasets._typing import JSONPreview

from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.export.mappings import Mappings


class MappingsDataset(ArtifactDataset[Mappings, dict[str, list[int]]]):
    """`{"1": [45, 123, 67], …}`; the file itself holds nothing but the mapping, so its manifest is
    a file of its own.
    """

    @property
    def manifest(self) -> Path:
        """Where the provenance is."""
        return self._filepath.with_suffix(".manifest.json")

    def load(self) -> dict[str, list[int]]:
        """Read the whole mapping into memory."""
        file = self.found()
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.damaged(error) from error

    def save(self, data: Mappings) -> None:
        """Write the mapping, then its manifest."""
        with atomic_file(self._filepath) as temporary:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(data.lines())
            self.manifest.unlink(missing_ok=True)  # not before the new mapping is whole
        with atomic_file(self.manifest) as temporary:
            temporary.write_text(
                json.dumps(data.provenance.to_json(), indent=2, sort_keys=True) + "\n",
                encoding="utf-8",
            )

    def preview(self, nrows: int = 5) -> JSONPreview:
        """Return the first items: an item is a line of the file."""
        with self.found().open(encoding="utf-8") as file:
            head = [line.rstrip().rstrip(",") for line in islice(file, 1, nrows + 1)]
        entries: dict[str, Any] = json.loads(
            "{" + ",".join(line for line in head if line != "}") + "}"
        )
        return JSONPreview(json.dumps(entries))
