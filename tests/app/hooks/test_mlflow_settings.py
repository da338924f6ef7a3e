"""What `mlflow.yml` and the environment variables of MLflow come to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from semantic_ids.app.hooks.mlflow_settings import KIND, MODELS, settle, warn_ignored

HERE = "/home/me/project/mlartifacts"


class Loader(dict):
    """Configuration as Kedro's loader gives it."""

    def __init__(self, **mlflow: Any) -> None:
        super().__init__(mlflow=mlflow)
        self.config_patterns: dict = {}


def context(
    uri: str | None, location: str | None = HERE, credentials: dict | None = None, **tracking: Any
) -> Any:
    made_with = {"artifact_location": location, "tags": None}
    tracking = {"experiment": {"name": "x", "create_experiment_kwargs": made_with}} | tracking
    server = {"mlflow_tracking_uri": uri, "credentials": "mlflow" if credentials else None}
    return SimpleNamespace(
        config_loader=Loader(server=server, tracking=tracking),
        _get_config_credentials=lambda: {"mlflow": credentials},
    )


@pytest.mark.parametrize(
    ("uri", "location", "used"),
    [
        ("http://host:5000", HERE, None),
        ("https://u:p@host/behind", f"file://{HERE}", None),
        ("databricks", "mlartifacts", None),
        ("http://host:5000", "s3://bucket/runs", "s3://bucket/runs"),
        ("http://host:5000", "mlflow-artifacts:/x", "mlflow-artifacts:/x"),
        ("sqlite:////home/me/project/mlflow.db", HERE, HERE),
        ("postgresql://u:p@host/db", HERE, HERE),
    ],
)
def test_a_server_chooses_where_files_are_kept(uri: str, location: str, used: str | None) -> None:
    given = context(uri, location)
    assert settle(given, {}) == uri
    made_with = given.config_loader["mlflow"]["tracking"]["experiment"]["create_experiment_kwargs"]
    assert made_with == {"artifact_location": used, "tags": {KIND: MODELS}}


def test_groups_that_are_left_out_are_made() -> None:
    given = context(None)
    given.config_loader["mlflow"] = {"tracking": None}
    assert (
        settle(given, {"MLFLOW_TRACKING_URI": "http://host", "MLFLOW_RUN_ID": "7"}) == "http://host"
    )
    config = given.config_loader["mlflow"]
    assert config["tracking"]["run"]["id"] == "7"
    assert config["tracking"]["experiment"]["create_experiment_kwargs"]["tags"] == {KIND: MODELS}


def test_a_kind_that_was_chosen_stays() -> None:
    given = context("http://host")
    experiment = given.config_loader["mlflow"]["tracking"]["experiment"]
    experiment["create_experiment_kwargs"]["tags"] = {KIND: "genai_development", "a": "b"}
    settle(given, {})
    settled = given.config_loader["mlflow"]["tracking"]["experiment"]["create_experiment_kwargs"]
    assert settled["tags"] == {KIND: "genai_development", "a": "b"}


def test_credentials_are_there_when_the_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "former")
    settle(context("http://host", credentials={"MLFLOW_TRACKING_PASSWORD": "pw"}), {})
    import os

    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "pw"


def test_variables_that_mlflow_yml_overrules_are_named(caplog: pytest.LogCaptureFixture) -> None:
    given = context("http://u:pa55@host", run={"id": "8"})
    settle(given, {})
    warn_ignored(
        given,
        {
            "MLFLOW_TRACKING_URI": "https://ann:pw@other",
            "MLFLOW_EXPERIMENT_NAME": "x",
            "MLFLOW_RUN_ID": "7",
        },
    )
    assert [record.getMessage() for record in caplog.records] == [
        "MLFLOW_TRACKING_URI=https://***@other is ignored: mlflow.yml says http://***@host",
        "MLFLOW_RUN_ID=7 is ignored: mlflow.yml says 8",
    ]
