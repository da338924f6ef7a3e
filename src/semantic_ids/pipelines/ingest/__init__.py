"""Stage `ingest`."""

from semantic_ids.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
