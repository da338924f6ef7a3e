"""Parquet → checked, memory-mapped vectors in the order of the item hash."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.ingest.nodes import ingest


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [
            Node(
                ingest,
                inputs=[
                    "item_embeddings",
                    "items",
                    "params:ingest",
                    "params:tokenizer",
                    "params:identify",
                    "params:evaluate",
                ],
                outputs=["embeddings", "rejected"],
                name="ingest",
            )
        ]
    )
