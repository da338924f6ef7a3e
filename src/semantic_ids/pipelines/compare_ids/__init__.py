"""Pipeline `compare_ids`."""

from semantic_ids.pipelines.compare_ids.pipeline import create_pipeline

__all__ = ["create_pipeline"]
