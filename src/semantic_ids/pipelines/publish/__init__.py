"""Stage `publish`."""

from semantic_ids.pipelines.publish.pipeline import create_pipeline

__all__ = ["create_pipeline"]
