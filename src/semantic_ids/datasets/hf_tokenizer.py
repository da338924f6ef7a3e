"""Tokens as a tokenizer of transformers."""

from __future__ import annotations

from typing import Any

from semantic_ids.datasets.on_request import OnRequestDataset
from semantic_ids.publishing.hugging_face import load_tokenizer, write_tokenizer
from semantic_ids.publishing.vocabulary import Vocabulary


class HfTokenizerDataset(OnRequestDataset):
    """`AutoTokenizer.from_pretrained(FOLDER)` is all that a reader needs; it is written without it.

    hf_tokenizer:
      type: semantic_ids.datasets.HfTokenizerDataset
      filepath: data/07_model_output/hf_tokenizer
    """

    written_with = "a tokenizer folder, which export.hf_tokenizer=true asks for"

    def load(self) -> Any:
        """Read it with transformers."""
        return load_tokenizer(self.found())

    def _write(self, made: Vocabulary) -> None:
        write_tokenizer(self._filepath, made)

    def _made_from(self) -> str:
        return Vocabulary.load(self._filepath).made_from
