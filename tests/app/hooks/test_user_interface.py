"""`kedro mlflow ui` finds MLflow without an activated environment, or says what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from semantic_ids.app.hooks import user_interface
from semantic_ids.app.hooks.user_interface import prepare_ui


def test_the_program_beside_this_python_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(user_interface, "settle", lambda context: "http://127.0.0.1:9")
    with pytest.raises(click.ClickException, match=r"127\.0\.0\.1:9 does not answer within 1 s"):
        prepare_ui(SimpleNamespace(), 1)
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), str(tmp_path)]


def test_without_the_program_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(click.ClickException, match=r"'mlflow' is neither in .* activate the"):
        prepare_ui(SimpleNamespace(), 1)


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("sqlite:////a/mlflow.db", "http://127.0.0.1:5000"),
        ("https://bob:pa55@host/behind/", "https://host/behind"),
    ],
)
def test_the_page_with_the_runs_is_named(
    uri: str, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opened in a browser: without `workflowType`, MLflow 3.17 shows traces and no runs."""
    server = SimpleNamespace(mlflow_tracking_uri=uri)
    experiment = SimpleNamespace(_experiment=SimpleNamespace(experiment_id="7"))
    user_interface._show_runs(
        SimpleNamespace(
            server=server,
            tracking=SimpleNamespace(experiment=experiment),
            ui=SimpleNamespace(host="127.0.0.1", port="5000"),
        )
    )
    end = "/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert capsys.readouterr().err == f"The runs: {page}{end}\n"
    if uri.startswith("https"):
        assert server.mlflow_tracking_uri == f"https://bob:pa55@host/behind{end}"
