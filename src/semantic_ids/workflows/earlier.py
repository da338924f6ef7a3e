"""Artifacts of an earlier run, taken where they are what this run would make."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.artifacts import Codes, Provenance, require_content
from semantic_ids.errors import BadInput

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.tokenizers.base import ResidualTokenizer

    Trained = tuple[ResidualTokenizer, pa.Table, dict[str, Any]]


@dataclass(frozen=True)
class Earlier:
    """Where an earlier run has left what it made; none of it need exist.

    Attributes:
        tokenizer: Folder of the tokenizer.
        semantic_ids: File of the IDs.
        codes: File of the codes.
        training_history: File of the training's history.
        training_results: File of its results.
    """

    tokenizer: Path
    semantic_ids: Path
    codes: Path
    training_history: Path
    training_results: Path

    def trained(
        self, inputs: dict[str, Provenance], parameters: dict[str, Any], identify: dict[str, Any]
    ) -> Trained | None:
        """Return tokenizer, history and results, where this run would make the same; else None.

        Args:
            inputs: Name → what it is to have been made from.
            parameters: What it is to have been made with; the device is of no account.
            identify: What its IDs are to have been made with: codebooks are refined for them.
        """
        from semantic_ids.workflows.estimators import load_tokenizer

        try:
            tokenizer = load_tokenizer(self.tokenizer)
            made = tokenizer.provenance
            if made is None or not _fits(made, inputs, parameters):
                return None
            require_content(made, tokenizer.content)
            if self._ids(self.semantic_ids, {"tokenizer": made}, identify) is None:
                return None
            history, results = self._reports()
        except (BadInput, OSError, ValueError, KeyError):
            return None
        return tokenizer, history, results

    def identified(
        self, inputs: dict[str, Provenance], identify: dict[str, Any]
    ) -> tuple[Codes, Codes] | None:
        """Return codes and IDs, where this run would make the same; else None."""
        codes = self._ids(self.codes, inputs, {})
        if codes is None:
            return None
        ids = self._ids(self.semantic_ids, {**inputs, "codes": codes.provenance}, identify)
        return None if ids is None else (codes, ids)

    def _ids(
        self, file: Path, inputs: dict[str, Provenance], parameters: dict[str, Any]
    ) -> Codes | None:
        from semantic_ids.export.ids_table import read_ids

        try:
            found = read_ids(file)
        except (BadInput, OSError, ValueError, KeyError):
            return None
        return found if _fits(found.provenance, inputs, parameters) else None

    def _reports(self) -> tuple[pa.Table, dict[str, Any]]:
        import pyarrow.parquet as pq

        results = json.loads(self.training_results.read_text(encoding="utf-8"))
        return pq.read_table(self.training_history, memory_map=False), results


def _fits(made: Provenance, inputs: dict[str, Provenance], parameters: dict[str, Any]) -> bool:
    same = {name: value for name, value in made.parameters.items() if name != "device"}
    wanted = {name: value for name, value in parameters.items() if name != "device"}
    return same == wanted and all(
        made.inputs.get(name) == given.fingerprint for name, given in inputs.items()
    )
