"""One run in MLflow: started and configured by kedro-mlflow, written to in few large calls, ended
with the truth.

Imported only when a run begins and tracking is on: MLflow takes a second or two to import.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from semantic_ids.app.hooks.mlflow_settings import KIND, MODELS, MODELS_VIEW, RUN_ID
from semantic_ids.app.hooks.processes import host, is_alive, started
from semantic_ids.app.hooks.server import is_remote, sqlite_file
from semantic_ids.errors import BadInput
from semantic_ids.masking import HIDDEN, mask, mask_all

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from semantic_ids.export.options import ExportOptions

logger = logging.getLogger(__name__)

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
        self._is_ours = mlflow.active_run() is None
        with _keeping_environment():
            _configure(hook, context)
            self._config = hook.mlflow_config
            run = self._config.tracking.run
            self._is_new = self._is_ours and run.id is None
            run.name = run.name or name
            try:
                hook.before_pipeline_run(mask_all(run_params), pipeline, catalog)
            except Exception:
                if self._is_ours:
                    mlflow.end_run("FAILED")
                raise
        self._uri = self._config.server.mlflow_tracking_uri
        self._client = mlflow.MlflowClient(tracking_uri=self._uri)
        self.run_id: str | None = (
            hook.run_id
        )  # None where mlflow.yml switches tracking off for these pipelines
        if self.run_id is not None:
            os.environ.pop(RUN_ID, None)  # it is one run, and not every run of this process
            self._look_at_experiment()

    def _look_at_experiment(self) -> None:
        """Let an experiment of ours open with its runs, and warn where files would be lost."""
        info = self._client.get_run(self.run_id).info
        experiment = self._client.get_experiment(info.experiment_id)
        self._experiment_id = info.experiment_id
        if self._is_new and _is_open(experiment.tags.get(KIND, "")):
            with suppress(MlflowException):  # a server may allow runs and no more
                self._client.set_experiment_tag(info.experiment_id, KIND, MODELS)
        if is_remote(self._uri) and info.artifact_uri.startswith(("file:", "/")):
            logger.warning(
                "the experiment '%s' keeps files in %s, a folder of one machine and not of the"
                " server: figures will not be seen by others; choose another name for it"
                " (tracking.experiment.name in mlflow.yml)",
                experiment.name,
                info.artifact_uri,
            )

    @property
    def address(self) -> str:
        """Where a browser shows the run, without secrets; empty where there is no server."""
        if not self._uri.startswith("http"):
            return ""
        shown = mask(self._uri).replace(f"{HIDDEN}@", "").rstrip("/")
        return f"{shown}/#/experiments/{self._experiment_id}/runs/{self.run_id}?{MODELS_VIEW}"

    def log(self, parameters: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Write all parameters and tags, without secrets.

        A run that someone else has made may have other values for the same parameters, which cannot
        be changed: they are passed over with a warning.
        """
        params = [Param(key, mask(str(text))[:LONGEST_VALUE]) for key, text in parameters.items()]
        labels = [RunTag(key, mask(text)[:LONGEST_VALUE]) for key, text in tags.items()]
        if not self._is_new and params:
            known = self._client.get_run(self.run_id).data.params
            given = [param for param in params if param.key in known]
            other = [param.key for param in given if known[param.key] != param.value]
            params = [param for param in params if param.key not in known]
            if other:
                logger.warning(
                    "the MLflow run that was given has other values of %s, which stay",
                    _named(other),
                )
        self._client.log_batch(self.run_id, params=params, tags=labels)

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

    def log_models(self, folder: Path, options: ExportOptions, seconds: float) -> str:
        """Log a tokenizer's graphs as models of this run, and register them as the options say.

        A registry of its own has so many seconds to answer. Return what was done in words.
        """
        from semantic_ids.app.hooks.models import log_models, register

        made, tags = log_models(self.run_id or "", folder)
        if not options.registered_model:
            return f"MLflow models of this run: {', '.join(made)}"
        registry = self._config.server.mlflow_registry_uri
        return register(made, self.run_id or "", options, tags, registry, seconds)

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
        open_runs = self._client.search_runs(
            [self._experiment_id], f"attributes.status = 'RUNNING' and tags.host = '{host()}'"
        )
        dead = [run.info.run_id for run in open_runs if not _has_process(run.data.tags)]
        for run_id in dead:
            self._client.set_terminated(run_id, "KILLED")
        return len(dead)


def run_given(uri: str, run_id: str) -> str:
    """Return the name of the experiment of a run that an orchestrator has made.

    Raises:
        BadInput: There is no such run, or it was deleted.
    """
    client = mlflow.MlflowClient(tracking_uri=uri)
    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        info = None
    if info is None or info.lifecycle_stage != "active":
        raise BadInput(
            f"the MLflow run '{run_id}' {'was deleted' if info else 'does not exist'}",
            where=uri,
            expected="a run of this server, as MLFLOW_RUN_ID or tracking.run.id in mlflow.yml",
            do="leave it out, and the run makes its own, or name the server that has it"
            " (MLFLOW_TRACKING_URI)",
        )
    return client.get_experiment(info.experiment_id).name


def _configure(hook: MlflowHook, context: KedroContext) -> None:
    """Let kedro-mlflow make or find database and experiment, one process after the other.

    Of two first runs at once, the later one finds what the other has made.
    """
    uri = context.config_loader["mlflow"]["server"].get("mlflow_tracking_uri")
    with _alone(sqlite_file(uri or "")):
        try:
            hook.after_context_created(context)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            hook.after_context_created(context)


@contextmanager
def _alone(database: Path | None) -> Iterator[None]:
    """Hold the lock of an sqlite database, which MLflow cannot make in two processes at once."""
    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{database}.lock", "a") as file:
        with suppress(OSError):  # not every network file system knows locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _keeping_environment() -> Iterator[None]:
    """Put back what MLflow writes into the environment, which later sessions would read."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_open(kind: str) -> bool:
    """Return whether nobody has chosen the kind of an experiment."""
    return kind in ("", "empty", "no_inferred_type") or kind.endswith("_inferred")


def _named(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def process_tags() -> dict[str, str]:
    """Return the tags by which the process of a run is known."""
    return {"host": host(), "pid": str(os.getpid()), "process": started(os.getpid())}


def _has_process(tags: Mapping[str, str]) -> bool:
    """Return whether the process of a run is alive, or cannot be judged."""
    return not tags.get("pid", "").isdigit() or is_alive(int(tags["pid"]), tags.get("process", ""))
