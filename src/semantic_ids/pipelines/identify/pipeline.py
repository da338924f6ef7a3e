"""Vectors → codes → unique IDs."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.identify.nodes import deduplicate, encode


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [
            Node(
                encode,
                inputs=["embeddings", "tokenizer", "params:tokenizer"],
                outputs="codes",
                name="encode",
            ),
            Node(
                deduplicate,
                inputs=["embeddings", "tokenizer", "codes", "params:tokenizer", "params:identify"],
                outputs="semantic_ids",
                name="deduplicate",
            ),
        ]
    )
