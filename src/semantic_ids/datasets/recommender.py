"""A trained recommender as a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kedro_datasets._typing import JSONPreview

from semantic_ids.datasets.artifact import ArtifactDataset

if TYPE_CHECKING:
    from semantic_ids.workflows.asking import Recommender


class RecommenderDataset(ArtifactDataset["Recommender", "Recommender"]):
    """Loads as a recommender on the CPU: `catalog.load("recommender").recommend(histories)`.

    The folder has config.json, model.safetensors, items.safetensors and, written last,
    manifest.json: see `recommenders.format`.
    """

    def load(self) -> Recommender:
        """Read the recommender and its provenance; the content must be the one it names."""
        from semantic_ids.workflows.asking import load_recommender

        return load_recommender(self.found(), "cpu")

    def save(self, data: Recommender) -> None:
        """Write a new generation of the folder and swap it in."""
        data.save(self._filepath)

    def preview(self) -> JSONPreview:
        """Return its configuration and where it comes from."""
        parts = {
            name: json.loads((self.found() / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("config", "manifest")
        }
        return JSONPreview(json.dumps(parts))
