"""A JSON object as one file."""

from __future__ import annotations

import json
from typing import Any

from kedro_datasets._typing import JSONPreview

from semantic_ids.atomic import atomic_file
from semantic_ids.datasets.artifact import ArtifactDataset


class JsonDataset(ArtifactDataset[dict[str, Any], dict[str, Any]]):
    """A dict of JSON-like values.

    A value that JSON has no word for (NaN, infinity) is a defect and is refused.
    """

    def load(self) -> dict[str, Any]:
        """Read the object."""
        file = self.found()
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise self.damaged(error) from error

    def save(self, data: dict[str, Any]) -> None:
        """Write the object, keys in the order given."""
        with atomic_file(self._filepath) as temporary:
            temporary.write_text(
                json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
                encoding="utf-8",
            )

    def preview(self) -> JSONPreview:
        """Return the whole object as text: reports are small."""
        return JSONPreview(json.dumps(self.load()))
