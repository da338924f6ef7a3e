"""Stage `train`."""

from semantic_ids.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
