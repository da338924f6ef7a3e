"""Stage `check`: the first of the pipeline `tokenize`."""

from semantic_ids.pipelines.check.pipeline import create_pipeline

__all__ = ["create_pipeline"]
