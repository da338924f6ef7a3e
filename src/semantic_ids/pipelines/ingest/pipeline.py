"""Parquet → checked, memory-mapped vectors in the order of the item hash."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.ingest.nodes import ingest

NONZERO = "params:tokenizer.preprocess.normalize"
"""Says whether zero vectors are invalid, for a tokenizer that brings vectors to unit length."""


def create_pipeline(nonzero: str = NONZERO) -> Pipeline:
    """Build the stage.

    Args:
        nonzero: Name of the dataset or parameter that says whether zero vectors are invalid.
    """
    return Pipeline(
        [
            Node(
                ingest,
                inputs=["item_embeddings", "params:ingest", nonzero],
                outputs=["embeddings", "rejected"],
                name="ingest",
            )
        ]
    )
