"""Stage `identify`."""

from semantic_ids.pipelines.identify.pipeline import create_pipeline

__all__ = ["create_pipeline"]
