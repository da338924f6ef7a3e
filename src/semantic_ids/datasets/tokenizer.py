"""A fitted tokenizer as a folder.

Config.json, model.safetensors and, written last, manifest.json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kedro_datasets._typing import JSONPreview

from semantic_ids.artifacts import require_content
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.tokenizers.format import MANIFEST_FILE

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer


class TokenizerDataset(ArtifactDataset["Tokenizer", "Tokenizer"]):
    """Loads as a tokenizer on the CPU: `catalog.load("tokenizer").encode(vectors)`."""

    def load(self) -> Tokenizer:
        """Read the tokenizer and its provenance."""
        from semantic_ids.workflows.estimators import load_tokenizer

        tokenizer = load_tokenizer(self.found())
        if tokenizer.provenance is None:
            raise self.damaged(f"its {MANIFEST_FILE} is missing")
        require_content(tokenizer.provenance, tokenizer.content)
        return tokenizer

    def save(self, data: Tokenizer) -> None:
        """Write a new generation of the folder and swap it in."""
        if data.provenance is None:
            raise ValueError("a tokenizer is saved with its provenance")
        data.save(self._filepath)

    def preview(self) -> JSONPreview:
        """Return its configuration and where it comes from."""
        parts = {
            name: json.loads((self.found() / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("config", "manifest")
        }
        return JSONPreview(json.dumps(parts))
