"""The same recommender on several sets of IDs of today's catalogue → one table."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.compare_ids.nodes import check_compare, compare

GROUPS = ("params:history", "params:recommender", "params:judge", "params:compare")


def create_pipeline() -> Pipeline:
    """Build the nodes that come after `ingest` and `sample`, and the check before them."""
    return Pipeline(
        [
            Node(
                check_compare,
                inputs=["user_histories", *GROUPS, "checkpoints"],
                outputs=None,
                name="check_compare",
            ),
            Node(
                compare,
                inputs=[
                    "embeddings",
                    "split",
                    "user_histories",
                    "params:tokenizer",
                    "params:identify",
                    *GROUPS,
                    "checkpoints",
                ],
                outputs=["compared_ids", "compared_ids_table"],
                name="compare",
            ),
        ]
    )
