"""What later stages would refuse, refused before the first of them."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.check.nodes import check


def create_pipeline() -> Pipeline:
    """Build the stage.

    It makes nothing. Kedro runs nodes that wait for nothing in the order of their names, so it
    comes before `ingest`.
    """
    return Pipeline(
        [
            Node(
                check,
                inputs=[
                    "item_embeddings",
                    "items",
                    "params:ingest",
                    "params:tokenizer",
                    "params:identify",
                    "params:evaluate",
                ],
                outputs=None,
                name="check",
            )
        ]
    )
