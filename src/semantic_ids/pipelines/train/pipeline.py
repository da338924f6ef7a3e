"""Embeddings → a fitted tokenizer."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.train.nodes import train


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [
            Node(
                train,
                inputs=[
                    "embeddings",
                    "split",
                    "params:tokenizer",
                    "params:identify",
                    "params:evaluate",
                    "params:advice",
                    "checkpoints",
                ],
                outputs=["tokenizer", "training_history", "training_results"],
                name="train",
            )
        ]
    )
