"""Pipeline `recommend`."""

from semantic_ids.pipelines.recommend.pipeline import create_pipeline

__all__ = ["create_pipeline"]
