"""Who is held out for validation, and who is in the tuning subset."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.sample.nodes import split


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [Node(split, inputs=["embeddings", "params:sample"], outputs="split", name="split")]
    )
