"""Graphs of a tokenizer, in its folder."""

from __future__ import annotations

import logging
from pathlib import Path

from semantic_ids.atomic import recover
from semantic_ids.datasets.artifact import ArtifactDataset
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.format import GRAPH_FILES, read_provenance
from semantic_ids.workflows.graphs import write_graphs

logger = logging.getLogger(__name__)


class OnnxGraphsDataset(ArtifactDataset[dict[str, bytes], dict[str, bytes]]):
    """Loads as bytes by name, which `onnxruntime.InferenceSession` takes.

        onnx_graphs:
          type: semantic_ids.datasets.OnnxGraphsDataset
          filepath: data/06_models/tokenizer/encoder.onnx

    The decoder is beside the encoder.
    """

    written_with = "two graphs, which export.onnx=true asks for"

    @property
    def artifact(self) -> str:
        """Its name in the catalog."""
        return "onnx_graphs"

    def load(self) -> dict[str, bytes]:
        """Read both graphs."""
        self.found()
        return {name: path.read_bytes() for name, path in self._paths().items()}

    def save(self, data: dict[str, bytes]) -> None:
        """Write both graphs; where there are none, remove those of another tokenizer."""
        if data:
            write_graphs(self._filepath.parent, data)
        else:
            self._remove_stale()

    def _exists(self) -> bool:
        recover(self._filepath.parent)
        return all(path.exists() for path in self._paths().values())

    def _paths(self) -> dict[str, Path]:
        return {name: self._filepath.with_name(file) for name, file in GRAPH_FILES.items()}

    def _remove_stale(self) -> None:
        """Remove graphs of another tokenizer than that of the folder: they would be taken for it.

        The metadata of a graph holds the content of its tokenizer as it is. Where the folder does
        not say what its tokenizer is, graphs stay.
        """
        recover(self._filepath.parent)
        try:
            made = read_provenance(self._filepath.parent)
        except BadInput:
            made = None
        if made is None or not made.content:
            return
        for path in self._paths().values():
            if path.is_file() and made.content.encode() not in path.read_bytes():
                path.unlink()
                logger.info("%s is of another tokenizer and is removed", path)
