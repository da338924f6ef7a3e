"""`kedro mlflow ui`: works, or says in one line why not."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from semantic_ids.app.hooks.mlflow_settings import runs_page, settle
from semantic_ids.app.hooks.server import limit_waiting, require_answer
from semantic_ids.extras import install
from semantic_ids.masking import HIDDEN, mask

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro_mlflow.config.kedro_mlflow_config import KedroMlflowConfig


def prepare_ui(context: KedroContext, seconds: float) -> None:
    """Set `context.mlflow`, and let the program `mlflow` be found.

    kedro-mlflow looks for it on PATH, where it is not as long as the environment that it is
    installed in is not activated.

    Raises:
        click.ClickException: It is not installed, or the server or database cannot be used.
    """
    folder = Path(sys.executable).parent
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    if shutil.which("mlflow") is None:
        raise click.ClickException(
            f"the program 'mlflow' is neither in {folder} nor on PATH; activate the environment"
            " that this project is installed in (source .venv/bin/activate), or"
            f" {install('pipeline')}"
        )
    limit_waiting(seconds)
    try:
        require_answer(settle(context), seconds)
    except ConnectionError as error:
        raise click.ClickException(str(error)) from None
    from kedro_mlflow.framework.hooks.mlflow_hook import MlflowHook

    MlflowHook().after_context_created(context)
    _show_runs(context.mlflow)


def _show_runs(config: KedroMlflowConfig) -> None:
    """Name the page with the runs: MLflow 3.17 opens on that for language models.

    It follows the address, or what the browser chose before, and not the kind of the experiment.
    """
    known = click.get_current_context(silent=True)
    options = known.params if known else {}
    host, port = options.get("host") or config.ui.host, options.get("port") or config.ui.port
    page = runs_page(config.tracking.experiment._experiment.experiment_id)
    if config.server.mlflow_tracking_uri.startswith("http"):
        base = config.server.mlflow_tracking_uri.rstrip("/")
        config.server.mlflow_tracking_uri = base + page  # kedro-mlflow opens it in a browser
        shown = mask(base).replace(f"{HIDDEN}@", "")
    else:
        shown = f"http://{host}:{port}"
    click.echo(f"The runs: {shown}{page}", err=True)
