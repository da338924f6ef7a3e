"""Today's catalogue → the next generation of published IDs."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.evaluate.nodes import draw
from semantic_ids.pipelines.evaluate.pipeline import FIGURES
from semantic_ids.pipelines.publish.nodes import (
    check,
    churn,
    evaluate,
    publish,
    publish_ids,
    publish_tokenizer,
)

GROUPS = ("params:tokenizer", "params:identify", "params:evaluate")


def create_pipeline() -> Pipeline:
    """Build what is between ingest and the bundle, and the bundle itself.

    `published` is the folder of bundles as it was before, `bundles` as it is after.
    """
    raw = ["item_embeddings", "items", "params:ingest"]
    measured = ["embeddings", "split", "tokenizer", "codes", "semantic_ids", "items"]
    return Pipeline(
        [
            Node(
                check, inputs=[*raw, *GROUPS, "params:publish", "published"], outputs=None,
                name="check",
            ),
            Node(
                publish_tokenizer,
                inputs=[
                    "embeddings", "split", *GROUPS, "params:advice", "checkpoints", "earlier",
                    "params:publish", "published",
                ],
                outputs=["tokenizer", "training_history", "training_results"],
                name="publish_tokenizer",
            ),
            Node(
                publish_ids,
                inputs=[
                    "embeddings", "tokenizer", "earlier", *GROUPS[:2], "params:publish",
                    "published",
                ],
                outputs=["codes", "semantic_ids", "draft"],
                name="publish_ids",
            ),
            Node(
                evaluate,
                inputs=["draft", *measured, *GROUPS, "params:ingest.id_column"],
                outputs=["metrics", "evaluation"],
                name="evaluate",
            ),
            Node(
                draw,
                inputs=["metrics", "evaluation", "training_history"],
                outputs=[f"figure_{name}" for name in FIGURES],
                name="draw",
            ),
            Node(
                churn,
                inputs=[
                    "draft", "tokenizer", "embeddings", "codes", "items", "params:identify",
                    "params:evaluate", "params:publish", "params:ingest.id_column",
                ],
                outputs=["churn", "figure_churn"],
                name="churn",
            ),
            Node(
                publish,
                inputs=[
                    "draft", "tokenizer", "metrics", "churn", "training_history",
                    "training_results", "params:identify", "params:export", "params:publish",
                ],
                outputs="bundles",
                name="publish",
            ),
        ]
    )  # fmt: skip
