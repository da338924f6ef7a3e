"""Nodes of the stage `export`."""

from __future__ import annotations

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.export.mappings import Mappings


def export(semantic_ids: Codes) -> Mappings:
    """Pair item ids with their IDs, for the dataset to write as a stream."""
    provenance = Provenance(
        "semantic_id_mappings", inputs={"semantic_ids": semantic_ids.provenance.fingerprint}
    )
    return Mappings(semantic_ids.item_ids, semantic_ids.codes, provenance)
