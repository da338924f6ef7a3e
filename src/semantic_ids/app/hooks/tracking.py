"""Tracking in MLflow by way of kedro-mlflow, which is asked only when a run begins.

No other command waits for a server.

A failure of tracking never ends a run, unless `tracking.required` says so.
"""

from __future__ import annotations

import atexit
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl
from pydantic import ValidationError

from semantic_ids.app.hooks.git import describe_commit
from semantic_ids.app.hooks.logs import command, dataset_name
from semantic_ids.app.hooks.mlflow_settings import settle, warn_ignored
from semantic_ids.app.hooks.server import limit_waiting, require_answer, sqlite_file
from semantic_ids.app.hooks.stages import path_of
from semantic_ids.app.hooks.torchrun import is_helper
from semantic_ids.app.hooks.user_interface import prepare_ui
from semantic_ids.errors import BadInput
from semantic_ids.history import History
from semantic_ids.masking import mask
from semantic_ids.parameters import flatten
from semantic_ids.progress import listening
from semantic_ids.tokenizers.format import GRAPH_FILES

if TYPE_CHECKING:
    import pyarrow as pa
    from kedro.framework.context import KedroContext
    from kedro.io import DataCatalog
    from kedro.pipeline import Pipeline

    from semantic_ids.app.hooks.configuration import ConfigurationHooks
    from semantic_ids.app.hooks.stages import StageHooks
    from semantic_ids.app.hooks.tracked_run import TrackedRun

logger = logging.getLogger(__name__)

MEASURED = ("metrics", "churn", "recommend_metrics")
"""Datasets whose numbers are metrics of the run."""
HISTORIES = {"training_history": "training", "recommend_training": "recommend.training"}
"""Datasets that are histories of trainings → what their numbers are called."""
ARTIFACTS = (
    "metrics",
    "churn",
    "training_results",
    "training_history",
    "evaluation",
    "tokenizer",
    "vocabulary",
    "hf_tokenizer",
    "recommender",
    "recommend_metrics",
    "recommend_training",
    "compared_ids",
)
"""Datasets whose files are copied to MLflow, beside the figures: small ones. Vectors, weights and
codes stay where they are."""
FOLDERS = ("tokenizer", "hf_tokenizer", "recommender")
"""Those of them that are folders."""


class TrackingHooks:
    """Record every run as one MLflow run."""

    def __init__(self, configuration: ConfigurationHooks, stages: StageHooks) -> None:
        self._configuration, self._stages = configuration, stages
        self._run: TrackedRun | None = None
        self._fingerprints: dict[str, str] = {}
        self._recorded: set[str] = set()
        self._listening = ExitStack()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Set `context.mlflow` for `kedro mlflow ui` alone: it reads the server from there."""
        command_line = click.get_current_context(silent=True)
        if command_line is not None and "mlflow" in command_line.command_path.split():
            prepare_ui(context, self._configuration.parameters.tracking.timeout_seconds)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Start the MLflow run.

        Raises:
            BadInput: Where `mlflow.yml` is wrong, or tracking is required and does not work.
        """
        self._end("KILLED")
        self._catalog, self._fingerprints, self._is_broken = catalog, {}, False
        if not self._configuration.parameters.tracking.enabled or is_helper():
            return
        try:
            self._start(run_params, pipeline, catalog)
        except ValidationError as error:
            raise BadInput(_one_line(error), where="mlflow.yml") from error
        except BadInput:
            raise
        except Exception as error:
            self._give_up(error)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: object) -> None:
        """Note which artifact it was that a stage worked on."""
        self._note_fingerprint(dataset_name, data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: object) -> None:
        """Record what a stage has made as soon as it is there.

        Of a run that fails later, it stays.
        """
        self._note_fingerprint(dataset_name, data)
        if dataset_name in MEASURED:
            self._attempt(
                lambda run: run.log_metrics([(name, value, 0) for name, value in numbers(data)])
            )
        elif (what := HISTORIES.get(dataset_name, "")) and what not in self._recorded:
            self._attempt(lambda run: run.log_metrics(list(history(data, what))))
        if dataset_name in ARTIFACTS or dataset_name.startswith("figure_"):
            self._attempt(
                lambda run: run.log_files(
                    path_of(dataset_name, self._catalog), _folder_of(dataset_name)
                )
            )
        if dataset_name == "onnx_graphs" and data:
            self._attempt(self._log_graphs)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End the run as FINISHED."""
        if "embeddings" in self._stages.written and "embeddings" not in self._fingerprints:
            self._attempt(
                lambda run: self._note_fingerprint("embeddings", self._catalog.load("embeddings"))
            )
        self._end("FINISHED")

    @hook_impl
    def on_pipeline_error(self) -> None:
        """End the run as FAILED."""
        self._end("FAILED")

    def _start(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        context = self._configuration.context
        self._prepare(context)
        from semantic_ids.app.hooks.tracked_run import TrackedRun, process_tags

        run = TrackedRun(context, self._name(), run_params, pipeline, catalog)
        if run.run_id is None:
            return
        self._run, self._recorded = run, set()
        self._listening.enter_context(listening(self._hear))
        # Registered after MLflow's own, so it comes before it: Kedro calls no hook for Ctrl-C,
        # SIGTERM and exits.
        atexit.register(self._end, "KILLED")
        if run.address:
            logger.info("tracked: %s", run.address)
        run.log(self._parameters(), self._tags(run_params) | process_tags())
        if dead := run.bury_the_dead():
            logger.info(
                "marked %d earlier run%s of this machine as KILLED: the process is gone",
                dead,
                "s" if dead > 1 else "",
            )

    def _prepare(self, context: KedroContext) -> None:
        """Settle where the run is tracked, and ask whether it can be.

        In a run of the caller nothing is asked: it says where.
        """
        from mlflow import active_run

        uri = settle(context)
        limit_waiting(seconds := self._configuration.parameters.tracking.timeout_seconds)
        if active_run() is not None:
            return
        warn_ignored(context)
        require_answer(uri, seconds)
        if (file := sqlite_file(uri)) and not file.exists():
            logger.info("making the tracking database, which takes some seconds")
        tracking = context.config_loader["mlflow"]["tracking"]
        if run_id := tracking["run"]["id"]:
            from semantic_ids.app.hooks.tracked_run import run_given

            tracking["experiment"]["name"] = run_given(uri, run_id)

    def _name(self) -> str:
        kind = self._configuration.parameters.tokenizer.kind
        dataset = dataset_name(self._configuration.paths["embeddings"])
        return f"{dataset}_{kind}_{datetime.now():%Y%m%dT%H%M%S}"

    def _parameters(self) -> dict[str, Any]:
        return (
            dict(flatten(self._configuration.parameters.model_dump())) | self._configuration.paths
        )

    def _tags(self, run_params: dict[str, Any]) -> dict[str, str]:
        return {
            "environment": self._configuration.environment,
            "pipelines": ",".join(run_params["pipeline_names"] or ["__default__"]),
            "kedro_command": command(),  # kedro-mlflow's own leaves out --params and --env
            **describe_commit(self._configuration.context.project_path),
        }

    def _hear(self, what: str, row: Mapping[str, Any], step: int) -> None:
        """Record the results of a step of long work as soon as it is over.

        `training.loss` of an epoch.
        """
        self._recorded.add(what)
        self._attempt(
            lambda run: run.log_metrics(
                [(f"{what}.{name}", value, step) for name, value in numbers(row)]
            )
        )

    def _log_graphs(self, run: TrackedRun) -> None:
        """Copy a tokenizer's graphs to the run, and log them as models where that is wanted.

        A model that could not be logged or registered ends nothing else, unless tracking is
        required.
        """
        encoder = path_of("onnx_graphs", self._catalog)
        if encoder is None:
            return
        for file in GRAPH_FILES.values():
            run.log_files(encoder.with_name(file), "tokenizer")
        parameters = self._configuration.parameters
        options, tracking = parameters.export, parameters.tracking
        if not options.mlflow_model:
            return
        try:
            logger.info(run.log_models(encoder.parent, options, tracking.timeout_seconds))
        except Exception as error:
            if tracking.required:
                raise
            logger.warning("MLflow model: %s", _one_line(error))

    def _note_fingerprint(self, name: str, data: object) -> None:
        """Tag the run with the fingerprint of an artifact."""
        fingerprint = getattr(getattr(data, "provenance", None), "fingerprint", "")
        if fingerprint and self._fingerprints.get(name) != fingerprint:
            self._fingerprints[name] = fingerprint
            self._attempt(lambda run: run.log({}, {f"fingerprint.{name}": fingerprint}))

    def _attempt(self, action: Callable[[TrackedRun], None]) -> None:
        """Write something to the run, if there is one that can be written to."""
        if self._run is None or self._is_broken:
            return
        try:
            action(self._run)
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Go on untracked with one loud warning, or stop where tracking is required."""
        self._is_broken = True
        reason = f"tracking failed: {_one_line(error)}"
        if self._configuration.parameters.tracking.required:
            self._end("FAILED")
            raise BadInput(
                reason, do="mend it, or go on without it: tracking.required=false"
            ) from error
        logger.warning("THIS RUN IS NOT TRACKED ANY FURTHER; %s", reason)

    def _end(self, status: str) -> None:
        """End the run, if there is one, also where tracking broke before.

        The server may be back.
        """
        run, self._run = self._run, None
        self._listening.close()
        if run is None:
            return
        atexit.unregister(self._end)
        try:
            if not self._is_broken:
                run.log_metrics(
                    [
                        (f"seconds.{name}", seconds, 0)
                        for name, seconds in self._stages.seconds.items()
                    ]
                )
            run.end(status)
        except Exception as error:
            logger.warning("MLflow did not hear that the run is %s: %s", status, _one_line(error))


def numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the metrics that are finite numbers."""
    for name, value in flatten(metrics):
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield name, float(value)


def history(table: pa.Table, what: str = "training") -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step) of every number of a training history: `training.relative_mse`."""
    for record in History(table.to_pylist()):
        for name, value in numbers(record.numbers):
            yield f"{what}.{name}", value, record.step


def _folder_of(dataset_name: str) -> str | None:
    """Return the folder among the artifacts of a run."""
    if dataset_name.startswith("figure_"):
        return "figures"
    return dataset_name if dataset_name in FOLDERS else None


def _one_line(error: BaseException) -> str:
    return mask(" ".join(str(error).split()))[:500] or type(error).__name__
