"""Histories of users, in IDs → a recommender, what it recommends, and what that is worth."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.recommend import histories
from semantic_ids.pipelines.recommend.nodes import (
    check_recommend,
    draw_recommend,
    fit_recommender,
    judge,
    recommend,
)

FIGURES = ("recommend_recall", "recommend_slices", "recommend_beams", "recommend_training")


def create_pipeline() -> Pipeline:
    """Build the pipeline. What it cannot do is refused first: see `pipelines.check`."""
    return histories.create_pipeline() + Pipeline(
        [
            Node(
                check_recommend,
                inputs=["params:recommender", "params:judge"],
                outputs=None,
                name="check_recommend",
            ),
            Node(
                fit_recommender,
                inputs=[
                    "histories",
                    "semantic_ids",
                    "params:recommender",
                    "params:history",
                    "checkpoints",
                    "embeddings",
                ],
                outputs=["recommender", "recommend_training"],
                name="fit_recommender",
            ),
            Node(
                recommend,
                inputs=["recommender", "histories", "params:recommender"],
                outputs="recommendations",
                name="recommend",
            ),
            Node(
                judge,
                inputs=[
                    "recommender",
                    "histories",
                    "semantic_ids",
                    "params:recommender",
                    "params:judge",
                    "embeddings",
                ],
                outputs="recommend_metrics",
                name="judge",
            ),
            Node(
                draw_recommend,
                inputs=["recommend_metrics", "recommend_training"],
                outputs=[f"figure_{name}" for name in FIGURES],
                name="draw_recommend",
            ),
        ]
    )
