"""Every pipeline by name. A name is the sum of its stages."""

from __future__ import annotations

from importlib import import_module

from kedro.pipeline import Pipeline

STAGES = ("check", "ingest", "sample", "train", "identify", "export", "evaluate")

BUILT = (*STAGES, "publish", "recommend", "compare_ids")
"""Folders of `pipelines`."""

PIPELINES = {
    **{stage: (stage,) for stage in STAGES},
    "tokenize": STAGES,
    "__default__": STAGES,
    "publish": ("ingest", "sample", "export", "publish"),
    "recommend": ("recommend",),
    "compare_ids": ("ingest", "sample", "compare_ids"),
}


def register_pipelines() -> dict[str, Pipeline]:
    """Build each stage once and sum the stages of each name."""
    built = {
        stage: import_module(f"{__package__}.pipelines.{stage}").create_pipeline()
        for stage in BUILT
    }
    return {
        name: sum((built[stage] for stage in stages), Pipeline([]))
        for name, stages in PIPELINES.items()
    }
