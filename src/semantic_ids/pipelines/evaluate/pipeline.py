"""How good the codes and the IDs are: numbers and figures."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.evaluate.nodes import draw, evaluate

FIGURES = (
    "training_curves",
    "codebook_usage",
    "collision_groups",
    "reconstruction_cosine",
    "prefix_cohesion",
)


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [
            Node(
                evaluate,
                inputs=[
                    "embeddings",
                    "split",
                    "tokenizer",
                    "codes",
                    "semantic_ids",
                    "items",
                    "params:tokenizer",
                    "params:identify",
                    "params:evaluate",
                    "params:ingest.id_column",
                ],
                outputs=["metrics", "evaluation"],
                name="evaluate",
            ),
            Node(
                draw,
                inputs=["metrics", "evaluation", "training_history"],
                outputs=[f"figure_{name}" for name in FIGURES],
                name="draw",
            ),
        ]
    )
