"""Every run has a log file of its own."""

from __future__ import annotations

import logging
import re

import pytest
from tests.probe import Project

from semantic_ids.app.hooks.logs import dataset_name

QUIET = {"enabled": False}


@pytest.mark.parametrize(
    ("embeddings", "name"),
    [
        ("data/01_raw/item_emb.parquet", "item_emb"),
        ("/somewhere/Beauty v1.2/", "Beauty-v1.2"),
        ("s3://bucket/items/*.parquet", "items"),
        ("gs://b/x/part-[0-9]*.parquet", "x"),
        ("*.parquet", "embeddings"),
        ("..", "embeddings"),
    ],
)
def test_the_input_has_a_short_name(embeddings: str, name: str) -> None:
    assert dataset_name(embeddings) == name


def test_each_session_of_a_process_has_its_file(in_project: Project) -> None:
    before = list(logging.getLogger().handlers)
    in_project.session(tracking=QUIET)
    in_project.session(
        tracking=QUIET, embeddings="my/vectors.parquet", tokenizer={"kind": "rq_vae"}
    )
    in_project.session(tracking=QUIET)
    names = sorted(file.name for file in (in_project.folder / "logs").iterdir())
    assert len(names) == 3
    assert (
        sum(bool(re.fullmatch(r"\d{8}T\d{6}_item_emb_rq_kmeans(_2)?\.log", name)) for name in names)
        == 2
    )
    assert sum(bool(re.fullmatch(r"\d{8}T\d{6}_vectors_rq_vae\.log", name)) for name in names) == 1
    assert logging.getLogger().handlers == before
    for log in in_project.logs:
        assert log.count("train …") == 1
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", log)
        assert log.endswith("The run has finished.\n")
        assert '"kind":"rq_' in log


def test_a_failed_run_has_the_error_in_its_log(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "defect")
    before = list(logging.getLogger().handlers)
    with pytest.raises(RuntimeError):
        in_project.session(tracking=QUIET)
    assert "RuntimeError: a defect of ours" in in_project.logs[0]
    assert "Traceback" in in_project.logs[0]
    assert logging.getLogger().handlers == before


def test_a_run_that_a_hook_refuses_has_the_reason_in_its_log(in_project: Project) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text(
        "server: {mlflow_tracking_uri: 'http://127.0.0.1:9'}"
    )
    with pytest.raises(ValueError, match="does not answer"):
        in_project.session(tracking={"required": True})
    assert "does not answer" in in_project.logs[0]


def test_an_interrupted_run_is_closed_by_the_next(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "exit")
    with pytest.raises(SystemExit):
        in_project.session(tracking=QUIET)
    monkeypatch.setenv("PROBE", "")
    in_project.session(tracking=QUIET)
    assert sorted(log.splitlines()[-1].partition("logs: ")[2] for log in in_project.logs) == [
        "The run has finished.",
        "The run was killed.",
    ]


def test_a_folder_that_cannot_be_written_costs_a_warning(
    in_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (in_project.folder / "file").touch()
    in_project.session(tracking=QUIET, logs={"folder": "file/logs"})
    assert "No log file for this run" in caplog.text
    assert (in_project.folder / "data/08_reporting/metrics.json").exists()
