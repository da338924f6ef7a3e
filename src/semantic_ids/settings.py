"""Project settings, as Kedro reads them."""

from __future__ import annotations

import logging
import os

from semantic_ids.extras import naming
from semantic_ids.masking import mask_logs

with naming("settings of semantic_ids"):
    from semantic_ids.app.config_loader import ProjectConfigLoader
    from semantic_ids.app.hooks import HOOKS  # noqa: F401 - read by Kedro
    from semantic_ids.app.resolvers import RESOLVERS

CONFIG_LOADER_CLASS = ProjectConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment overrides single values and keeps the rest; Kedro's default would throw the
    # siblings away.
    "merge_strategy": {
        "parameters": "soft",
        "mlflow": "soft",
        "globals": "soft",
        "catalog": "soft",
    },
    "custom_resolvers": RESOLVERS,
}

# kedro-mlflow talks to its server whenever a context is made, even for `kedro registry list`.
# `hooks.tracking` starts its hook instead, when a run begins and tracking is on.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)

# Kedro imports kedro-mlflow, and with it MLflow, at every command, right after this file: what is
# to be quiet has to be told here.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault(
    "KEDRO_DISABLE_TELEMETRY", "true"
)  # `.telemetry` says so too, but a packaged run has none
mask_logs()
logging.captureWarnings(True)
logging.getLogger("py.warnings").addFilter(
    lambda record: "Add type hints to the `predict` method" not in record.getMessage()
)
