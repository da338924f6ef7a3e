"""What a run ends with on the terminal.

The metrics that matter, the seconds of each stage, and what was written where.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl

from semantic_ids.app.hooks.stages import path_of
from semantic_ids.app.hooks.torchrun import is_helper

if TYPE_CHECKING:
    from kedro.io import DataCatalog

    from semantic_ids.app.hooks.logs import LogHooks
    from semantic_ids.app.hooks.stages import StageHooks

HEADLINES = (
    "reconstruction.relative_mse",
    "reconstruction.relative_mse_validation",
    "reconstruction.relative_mse_unique",
    "reconstruction.cosine",
    "codes.unique_rate",
    "codes.max_collision",
    "ids.unique_rate",
    "ids.moved_rate",
    "ids.added_distortion",
    "neighbours.recall_at_10",
    "hierarchy.cohesion",  # one line for each prefix length
    "recommend.recall_at_10",  # and the ends of its interval
    "recommend.ndcg_at_10",
)
"""Metrics of the short table: a name, or the first part of several names."""


class SummaryHooks:
    """Print the table after a run that succeeded."""

    def __init__(self, logs: LogHooks, stages: StageHooks) -> None:
        self._logs, self._stages = logs, stages
        self._metrics: Mapping[str, Any] = {}

    @hook_impl
    def before_pipeline_run(self) -> None:
        """Forget the run before."""
        self._metrics = {}

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: object) -> None:
        """Keep the metrics."""
        if dataset_name in ("metrics", "recommend_metrics") and isinstance(data, Mapping):
            self._metrics = {**self._metrics, **data}

    @hook_impl(trylast=True)
    def after_pipeline_run(self, catalog: DataCatalog) -> None:
        """Print metrics, seconds and paths."""
        if is_helper():
            return
        rows = {
            "metrics": {name: _number(value) for name, value in headlines(self._metrics)},
            "seconds": {name: f"{seconds:.1f}" for name, seconds in self._stages.seconds.items()},
            "written": (
                written(self._stages.written, catalog)
                | ({"log": _short(self._logs.path)} if self._logs.path else {})
            ),
        }
        click.echo("\n".join(_table(rows)))


def headlines(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the metrics of the short table, in its order, as far as they were measured."""
    for headline in HEADLINES:
        yield from (
            (name, value)
            for name, value in metrics.items()
            if name == headline or name.startswith(f"{headline}.")
        )


def written(names: Iterable[str], catalog: DataCatalog) -> dict[str, str]:
    """Return dataset name → path of everything that rests on disk, all figures in one line.

    A dataset may have had nothing to write, such as an index that was not asked for.
    """
    found = {name: path for name in names if (path := path_of(name, catalog))}
    paths = {name: path for name, path in found.items() if path.exists()}
    figures = [path for name, path in paths.items() if name.startswith("figure_")]
    lines = {name: _short(path) for name, path in paths.items() if not name.startswith("figure_")}
    return lines | (
        {"figures": f"{_short(figures[0].parent)}/*{figures[0].suffix} ({len(figures)})"}
        if figures
        else {}
    )


def _short(path: Path) -> str:
    """Return the path from the working directory, where it is below it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(sections: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    width = max((len(name) for rows in sections.values() for name in rows), default=0)
    for title, rows in sections.items():
        if rows:
            yield f"\n{title}"
            yield from (f"  {name:<{width}}  {value}" for name, value in rows.items())
