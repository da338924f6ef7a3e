"""Tokens and their ids as one JSON file."""

from __future__ import annotations

import json

from kedro_datasets._typing import JSONPreview

from semantic_ids.datasets.on_request import OnRequestDataset
from semantic_ids.publishing.vocabulary import Vocabulary


class VocabularyDataset(OnRequestDataset):
    """Loads as `semantic_ids.Vocabulary`.

    vocabulary:
      type: semantic_ids.datasets.VocabularyDataset
      filepath: data/07_model_output/vocabulary.json
    """

    written_with = "a vocabulary, which export.vocabulary=true asks for"

    def load(self) -> Vocabulary:
        """Read the file."""
        return Vocabulary.load(self.found())

    def _made_from(self) -> str:
        return Vocabulary.load(self._filepath).made_from

    def preview(self) -> JSONPreview:
        """Return the whole file."""
        return JSONPreview(json.dumps(self.load().to_json()))
