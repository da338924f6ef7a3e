"""One run in MLflow: started and configured by kedro-mlflow, written to in few large calls, ended
with the truth.

Imported only when a run begins and tracking is on: MLflow takes a second or two to import.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Metric, Param, RunTag

from semantic_ids.app.hooks.processes import host, is_alive, started

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

METRICS_A_CALL = 1000
"""MLflow's limit of metrics in one batch."""

LONGEST_VALUE = 6000
"""MLflow's limit of characters in a parameter; a tag may hold 8,000."""


class TrackedRun:
    """A run that MLflow shows as RUNNING until `end` is called.

    Args:
        context: Kedro's context: kedro-mlflow reads `mlflow.yml` with it and sets `context.mlflow`.
        name: Name of the run, where `mlflow.yml` gives none.
        run_params: Of Kedro's `before_pipeline_run`, like `pipeline` and `catalog`.
    """

    def __init__(
        self,
        context: KedroContext,
        name: str,
        run_params: dict[str, Any],
        pipeline: Pipeline,
        catalog: DataCatalog,
    ) -> None:
        hook = MlflowHook()
        hook.after_context_created(context)
        self._config = hook.mlflow_config
        self._config.tracking.run.name = self._config.tracking.run.name or name
        self._is_ours = not hook._already_active_mlflow
        try:
            hook.before_pipeline_run(run_params, pipeline, catalog)
        except Exception:
            if self._is_ours:
                mlflow.end_run("FAILED")
            raise
        self._client = mlflow.MlflowClient(tracking_uri=self._config.server.mlflow_tracking_uri)
        self.run_id: str | None = (
            hook.run_id
        )  # None where mlflow.yml switches tracking off for these pipelines

    def log(self, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Write all parameters and tags in one call."""
        params = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in parameters.items()]
        self._client.log_batch(
            self.run_id,
            params=params,
            tags=[RunTag(name, value[:LONGEST_VALUE]) for name, value in tags.items()],
        )

    def log_metrics(self, metrics: list[tuple[str, float, int]]) -> None:
        """Write metrics given as (name, value, step), a thousand a call."""
        now = int(time.time() * 1000)
        for begin in range(0, len(metrics), METRICS_A_CALL):
            batch = [
                Metric(name, value, now, step)
                for name, value, step in metrics[begin : begin + METRICS_A_CALL]
            ]
            self._client.log_batch(self.run_id, metrics=batch)

    def log_files(self, path: Path | None, folder: str | None) -> None:
        """Copy a file to the artifacts of the run; of a folder, the JSON files in it.

        What is not on disk is passed over.
        """
        for file in [path] if path is None or not path.is_dir() else sorted(path.glob("*.json")):
            if file is not None and file.exists():
                self._client.log_artifact(self.run_id, str(file), folder)

    def end(self, status: str) -> None:
        """Set the status, `FINISHED`, `FAILED` or `KILLED`, and leave nothing active in this
        process.

        A run that was active before Kedro began belongs to someone else and stays open.
        """
        if not self._is_ours:
            return
        while (active := mlflow.active_run()) is not None:
            mlflow.end_run(status)
            if active.info.run_id == self.run_id:
                return
        self._client.set_terminated(self.run_id, status)

    def bury_the_dead(self) -> int:
        """Mark as KILLED the runs of this machine whose process is gone.

        After SIGKILL nothing else can. Return how many.
        """
        experiment = self._config.tracking.experiment._experiment.experiment_id
        open_runs = self._client.search_runs(
            [experiment], f"attributes.status = 'RUNNING' and tags.host = '{host()}'"
        )
        dead = [run.info.run_id for run in open_runs if not _has_process(run.data.tags)]
        for run_id in dead:
            self._client.set_terminated(run_id, "KILLED")
        return len(dead)


def process_tags() -> dict[str, str]:
    """Return the tags that tell which process a run belongs to."""
    return {"host": host(), "pid": str(os.getpid()), "process": started(os.getpid())}


def _has_process(tags: Mapping[str, str]) -> bool:
    """Tell whether the process of a run is alive, or cannot be judged."""
    return not tags.get("pid", "").isdigit() or is_alive(int(tags["pid"]), tags.get("process", ""))
