"""A fitted tokenizer as a folder.

Config.json, model.safetensors and, written last, manifest.json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kedro_datasets._typing import JSONPreview

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_folder
from semantic_ids.datasets.artifact import ArtifactDataset

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer

MANIFEST_FILE = "manifest.json"


class TokenizerDataset(ArtifactDataset["Tokenizer", "Tokenizer"]):
    """Loads as a tokenizer on the CPU: `catalog.load("tokenizer").encode(vectors)`."""

    def load(self) -> Tokenizer:
        """Read the tokenizer and its provenance."""
        from semantic_ids.tokenizers import load_tokenizer

        tokenizer = load_tokenizer(self.found(), device="cpu")
        try:
            tokenizer.provenance = Provenance.from_json(
                json.loads((self._filepath / MANIFEST_FILE).read_text(encoding="utf-8"))
            )
        except (OSError, ValueError, KeyError) as error:
            raise self.damaged(f"its {MANIFEST_FILE} is missing or damaged ({error})") from error
        return tokenizer

    def save(self, data: Tokenizer) -> None:
        """Write a new generation of the folder and swap it in."""
        if data.provenance is None:
            raise ValueError("a tokenizer is saved with its provenance")
        with atomic_folder(self._filepath) as temporary:
            data.save(temporary)
            manifest = json.dumps(data.provenance.to_json(), indent=2, sort_keys=True)
            (temporary / MANIFEST_FILE).write_text(manifest + "\n", encoding="utf-8")

    def preview(self) -> JSONPreview:
        """Return its configuration and where it comes from."""
        parts = {
            name: json.loads((self.found() / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("config", "manifest")
        }
        return JSONPreview(json.dumps(parts))
