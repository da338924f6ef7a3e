"""Prefixes of the IDs as a folder of arrays."""

from __future__ import annotations

from semantic_ids.datasets.on_request import OnRequestDataset
from semantic_ids.publishing import trie_files
from semantic_ids.publishing.trie import Trie


class TrieDataset(OnRequestDataset):
    """Loads as `semantic_ids.Trie`, whose arrays are memory maps.

    trie:
      type: semantic_ids.datasets.TrieDataset
      filepath: data/07_model_output/trie
    """

    written_with = "a trie, which export.trie=true asks for"

    def load(self) -> Trie:
        """Map the arrays."""
        return Trie.load(self.found())

    def _made_from(self) -> str:
        return trie_files.read_manifest(self._filepath)[0]["semantic_ids"]
