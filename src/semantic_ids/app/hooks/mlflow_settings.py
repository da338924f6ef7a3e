"""The settings of a run, from `mlflow.yml` and the environment variables of MLflow."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from semantic_ids.app.hooks.server import is_remote
from semantic_ids.masking import mask, remember

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext

logger = logging.getLogger(__name__)

RUN_ID = "MLFLOW_RUN_ID"
"""Names the run that an orchestrator has made for us."""

KIND = "mlflow.experimentKind"
MODELS = "custom_model_development"
"""Tag and value of an experiment that is no language model. MLflow 3.17 shows it and opens pages by
their address alone."""

MODELS_VIEW = "workflowType=machine_learning"
"""What an address of MLflow 3.17 needs to show runs and metrics, rather than traces."""


def runs_page(experiment_id: str) -> str:
    """Return the page with runs and metrics of an experiment, to put behind a server's address."""
    return f"/#/experiments/{experiment_id}/runs?{MODELS_VIEW}&compareRunsMode=CHART"


def settle(context: KedroContext, environ: Mapping[str, str] = os.environ) -> str:
    """Put the configuration that kedro-mlflow will read in place, and return the tracking URI.

    Nothing asks a server. The URI is empty where it is left to the surroundings.
    """
    loader = context.config_loader
    loader.config_patterns.setdefault("mlflow", ["mlflow*", "mlflow*/**", "**/mlflow*"])
    config = deepcopy(dict(loader["mlflow"]))
    server, tracking = _group(config, "server"), _group(config, "tracking")
    _export_credentials(context, server.get("credentials"))
    uri = server.get("mlflow_tracking_uri") or environ.get("MLFLOW_TRACKING_URI") or ""
    remember(uri)
    experiment = _group(tracking, "experiment")
    made_with = _group(experiment, "create_experiment_kwargs")
    if is_remote(uri) and _is_on_this_machine(made_with.get("artifact_location")):
        made_with["artifact_location"] = None  # the server has a place of its own
    made_with["tags"] = {KIND: MODELS, **(made_with.get("tags") or {})}
    run = _group(tracking, "run")
    run["id"] = run.get("id") or environ.get(RUN_ID) or None
    loader["mlflow"] = config
    return uri


def warn_ignored(context: KedroContext, environ: Mapping[str, str] = os.environ) -> None:
    """Warn of environment variables of MLflow that `mlflow.yml` overrules."""
    config = context.config_loader["mlflow"]
    tracking = config.get("tracking") or {}
    values = {
        "MLFLOW_TRACKING_URI": (config.get("server") or {}).get("mlflow_tracking_uri"),
        "MLFLOW_EXPERIMENT_NAME": (tracking.get("experiment") or {}).get("name"),
        "MLFLOW_EXPERIMENT_ID": (tracking.get("experiment") or {}).get("name"),
        RUN_ID: (tracking.get("run") or {}).get("id"),
    }
    for name, value in values.items():
        if value and environ.get(name, value) not in ("", value):
            logger.warning(
                "%s=%s is ignored: mlflow.yml says %s", name, mask(environ[name]), mask(str(value))
            )


def _group(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a group of the configuration, which is made where there is none."""
    if not isinstance(config.get(name), dict):
        if config.get(name) is not None:
            return {}  # not a group: kedro-mlflow says what it should be
        config[name] = {}
    return config[name]


def _is_on_this_machine(location: object) -> bool:
    return isinstance(location, str) and urlsplit(location).scheme in ("", "file")


def _export_credentials(context: KedroContext, name: str | None) -> None:
    """Do what kedro-mlflow will do: the server is asked with these too."""
    if name:
        for key, value in (context._get_config_credentials().get(name) or {}).items():
            os.environ[key] = str(value)
