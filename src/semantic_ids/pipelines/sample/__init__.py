"""Stage `sample`."""

from semantic_ids.pipelines.sample.pipeline import create_pipeline

__all__ = ["create_pipeline"]
