"""What a run leaves in MLflow, and what happens when MLflow does not work."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pyarrow as pa
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS
from tests import probe
from tests.conftest import clustered
from tests.probe import METRICS, Project

from semantic_ids.app.hooks import tracked_run
from semantic_ids.app.hooks.parameters import known_parameters
from semantic_ids.app.hooks.tracked_run import TrackedRun
from semantic_ids.app.hooks.tracking import TrackingHooks, history, numbers
from semantic_ids.datasets import HfTokenizerDataset, TrieDataset, VocabularyDataset
from semantic_ids.errors import BadInput
from semantic_ids.parameters import RUNTIME_PATHS, flatten
from semantic_ids.progress import report_step
from semantic_ids.tokenizers import fit_tokenizer

LEAVES = {
    name
    for name in known_parameters()
    if not any(other.startswith(f"{name}.") for other in known_parameters())
}
DEAD = "server: {mlflow_tracking_uri: 'http://127.0.0.1:9'}"


def test_numbers_are_those_that_mlflow_can_draw() -> None:
    metrics = {
        "a": 1,
        "b": 2.5,
        "c": float("nan"),
        "d": float("inf"),
        "e": "text",
        "f": True,
        "g": None,
        "h": {"i": 3},
    }
    assert dict(numbers(metrics)) == {"a": 1.0, "b": 2.5, "h.i": 3.0}


def test_flatten_gives_dotted_names() -> None:
    assert dict(flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None})) == {
        "a.b.c": 1,
        "a.d": [2],
        "e": None,
    }


def test_every_step_of_a_history_is_a_point_of_its_own() -> None:
    """Of the very tables that the kinds of tokenizers make."""
    x = clustered(400, 8)
    for kind, options in (
        ("rq_kmeans", {"anneal_rounds": 5}),
        ("rq_vae", {"schedule": {"epochs": 3}}),
    ):
        fitted = fit_tokenizer(x, kind=kind, codebook_sizes=(8, 8), device="cpu", options=options)
        points = list(history(pa.Table.from_pylist(fitted.history.rows())))
        assert len({(name, step) for name, _, step in points}) == len(points) > 0
        for name in fitted.history.names:
            steps, values = fitted.history.series(name)
            found = [(value, step) for known, value, step in points if known == f"training.{name}"]
            assert found == list(zip(values, steps, strict=True))


def test_sessions_of_one_process_make_runs_of_their_own(in_project: Project) -> None:
    in_project.session()
    in_project.session(
        tokenizer={"kind": "rq_vae", "codebook_sizes": "8x4"}, embeddings="mine/vectors.parquet"
    )
    assert mlflow.active_run() is None
    assert in_project.statuses == ["FINISHED", "FINISHED"]
    runs = {
        in_project.pairs("params", run_id)["tokenizer.kind"]: (run_id, name)
        for run_id, name in in_project.ask("SELECT run_uuid, name FROM runs")
    }
    assert runs["rq_kmeans"][1].startswith("item_emb_rq_kmeans_20")
    assert runs["rq_vae"][1].startswith("vectors_rq_vae_20")
    parameters = in_project.pairs("params", runs["rq_vae"][0])
    assert parameters.keys() == LEAVES | RUNTIME_PATHS.keys()
    assert (parameters["tokenizer.codebook_sizes"], parameters["embeddings"]) == (
        "[8, 4]",
        "mine/vectors.parquet",
    )


def test_a_run_records_metrics_history_tags_and_small_files(in_project: Project) -> None:
    in_project.session()
    run_id = in_project.ask("SELECT run_uuid FROM runs")[0][0]
    metrics = in_project.pairs("metrics", run_id)
    assert metrics.keys() == {
        "training.loss",
        "seconds.ingest",
        "seconds.train",
        "seconds.evaluate",
        *METRICS,
    } - {"reconstruction.space"}
    assert all(
        metrics[name] == value for name, value in METRICS.items() if name != "reconstruction.space"
    )
    assert in_project.ask("SELECT value, step FROM metrics WHERE key = 'training.loss'") == [
        (0.5, 1)
    ]
    tags = in_project.pairs("tags", run_id)
    assert tags["fingerprint.embeddings"] == probe.ingest(None).provenance.fingerprint
    assert (tags["environment"], tags["pipelines"], tags["pid"]) == (
        "local",
        "tokenize",
        str(os.getpid()),
    )
    assert {file.name for file in (in_project.folder / "mlartifacts" / run_id).rglob("*.*")} == {
        "metrics.json",
        "dot.png",
        "config.json",
    }
    assert not list(in_project.folder.rglob("mlruns"))


def test_tokens_of_language_models_are_recorded_and_the_trie_stays_where_it_is(tmp_path) -> None:
    kinds = {
        "vocabulary": VocabularyDataset,
        "trie": TrieDataset,
        "hf_tokenizer": HfTokenizerDataset,
    }
    hooks, copied = TrackingHooks(None, None), []
    hooks._catalog = {name: kind(filepath=str(tmp_path / name)) for name, kind in kinds.items()}
    hooks._run, hooks._is_broken = SimpleNamespace(log_files=lambda *of: copied.append(of)), False
    for name in kinds:
        hooks.after_dataset_saved(name, None)
    assert copied == [
        (tmp_path / "vocabulary", None),
        (tmp_path / "hf_tokenizer", "hf_tokenizer"),
    ]


def test_epochs_are_recorded_while_it_trains_and_once(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "tell")
    in_project.session()
    assert in_project.ask("SELECT key, value, step FROM metrics WHERE key LIKE 'training.%'") == [
        ("training.loss", 0.125, 7)
    ]
    monkeypatch.setenv("PROBE", "")
    in_project.session()
    assert sorted(
        in_project.ask("SELECT value, step FROM metrics WHERE key = 'training.loss'")
    ) == [(0.125, 7), (0.5, 1)]


def test_what_is_told_outside_of_a_run_is_nobodys(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_project.session()
    before = in_project.ask("SELECT COUNT(*) FROM metrics")
    report_step("training", {"loss": 1.0}, 1)
    assert in_project.ask("SELECT COUNT(*) FROM metrics") == before


def test_a_failed_run_keeps_what_was_made_before(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "defect")
    with pytest.raises(RuntimeError):
        in_project.session()
    assert in_project.statuses == ["FAILED"]
    assert mlflow.active_run() is None
    assert in_project.ask("SELECT key FROM tags WHERE key = 'fingerprint.embeddings'")


def test_tracking_can_be_switched_off(in_project: Project) -> None:
    in_project.session(tracking={"enabled": False})
    assert in_project.statuses == []


def test_a_run_that_was_active_before_is_used_and_left_open(in_project: Project) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{in_project.folder}/mlflow.db")
    mlflow.set_experiment("orchestrator")
    with mlflow.start_run() as outer:
        in_project.session()
        assert mlflow.active_run().info.run_id == outer.info.run_id
        assert in_project.statuses == ["RUNNING"]
    assert in_project.ask("SELECT value FROM params WHERE key = 'tokenizer.kind'") == [
        ("rq_kmeans",)
    ]
    metrics = in_project.pairs("metrics", outer.info.run_id)
    assert metrics["reconstruction.relative_mse"] == METRICS["reconstruction.relative_mse"]
    assert "seconds.train" in metrics


def test_two_sessions_in_one_run_of_the_caller_lose_no_metric(
    in_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text(DEAD)
    mlflow.set_tracking_uri(f"sqlite:///{in_project.folder}/mlflow.db")
    mlflow.set_experiment("orchestrator")
    with mlflow.start_run() as outer:
        in_project.session()
        in_project.session(tokenizer={"kind": "rq_vae"})
    assert "other values of tokenizer.kind, which stay" in caplog.text
    assert "NOT TRACKED" not in caplog.text
    assert in_project.statuses == ["FINISHED"]
    count = f"SELECT COUNT(*) FROM metrics WHERE run_uuid = '{outer.info.run_id}' AND key = '%s'"
    assert in_project.ask(count % "codes.max_collision") == [(2,)]


def test_the_run_of_an_orchestrator_is_taken_and_ended(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{in_project.folder}/mlflow.db")
    experiment = client.create_experiment("orchestrator")
    given = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    in_project.session()
    assert in_project.statuses == ["FINISHED"]
    assert in_project.pairs("metrics", given)["codes.max_collision"] == 3
    assert in_project.ask("SELECT name FROM experiments WHERE name = 'semantic_ids'") == []
    in_project.session()
    assert in_project.statuses == ["FINISHED", "FINISHED"]


def test_a_run_of_an_orchestrator_that_is_not_there_is_refused_before_any_work(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef")
    with pytest.raises(BadInput, match=r"MLflow run '0123.*' does not exist; expected a run of"):
        in_project.session()
    assert not (in_project.folder / "data").exists()
    assert in_project.statuses == []


def test_the_environment_says_where_unless_mlflow_yml_does(
    in_project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    in_project.session()
    names = (
        "SELECT experiments.name FROM experiments JOIN runs USING (experiment_id)"
        " ORDER BY start_time"
    )
    assert in_project.ask(names) == [("theirs",)]
    assert "is ignored" not in caplog.text
    (in_project.folder / "conf/local/mlflow.yml").write_text("tracking: {experiment: {name: mine}}")
    in_project.session()
    assert in_project.ask(names) == [("theirs",), ("mine",)]
    assert "MLFLOW_EXPERIMENT_NAME=theirs is ignored: mlflow.yml says mine" in caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:pa55@127.0.0.1:9")
    in_project.session()
    assert len(in_project.ask(names)) == 2
    assert "http://***@127.0.0.1:9 does not answer within 5 s" in caplog.text


def test_an_experiment_is_of_the_kind_that_has_runs(in_project: Project) -> None:
    """A kind that somebody chose stays."""
    client = mlflow.MlflowClient(f"sqlite:///{in_project.folder}/mlflow.db")
    client.create_experiment("semantic_ids", tags={"mlflow.experimentKind": "empty"})
    client.create_experiment("chosen", tags={"mlflow.experimentKind": "genai_development"})
    in_project.session()
    for name in ("new", "chosen"):
        (in_project.folder / "conf/local/mlflow.yml").write_text(
            f"tracking: {{experiment: {{name: {name}}}}}"
        )
        in_project.session()
    kinds = {
        name: client.get_experiment_by_name(name).tags["mlflow.experimentKind"]
        for name in ("semantic_ids", "new", "chosen")
    }
    assert kinds == {
        "semantic_ids": "custom_model_development",
        "new": "custom_model_development",
        "chosen": "genai_development",
    }


def test_of_two_first_runs_the_later_one_takes_the_experiment_of_the_other() -> None:
    calls: list[int] = []

    class Hook:
        def after_context_created(self, context: object) -> None:
            calls.append(1)
            if len(calls) == 1:
                raise MlflowException("it is there", error_code=RESOURCE_ALREADY_EXISTS)

    config = {"mlflow": {"server": {"mlflow_tracking_uri": "http://127.0.0.1:9"}}}
    tracked_run._configure(Hook(), SimpleNamespace(config_loader=config))
    assert len(calls) == 2


@pytest.mark.slow
def test_two_first_runs_at_once_are_both_tracked(tmp_path: Path) -> None:
    """No database yet: making it in two processes at once used to fail in one of them."""
    project = Project(tmp_path / "project")
    runs = [project.start("--pipeline=tokenize", f"--params=data_root=d{n}") for n in (1, 2)]
    told = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    assert not any("NOT TRACKED" in text for text in told), told
    assert project.statuses == ["FINISHED", "FINISHED"]


def test_a_place_that_cannot_be_written_to_is_given_up_in_time(
    in_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text(
        "server: {mlflow_tracking_uri: 'sqlite:////proc/no-such-folder/mlflow.db'}"
    )
    start = time.monotonic()
    in_project.session()
    assert time.monotonic() - start < 5
    assert "sqlite:////proc/no-such-folder/mlflow.db cannot be written to" in caplog.text


def test_secrets_are_neither_tracked_nor_logged(
    in_project: Project, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://bob:pa55word@host/a/emb.parquet?X-Amz-Signature=0123456789abcdef0123456789"
    monkeypatch.setattr(sys, "argv", ["kedro", "run", f"--params=embeddings={address}"])
    monkeypatch.setenv("PROBE", "tell-input")
    with pytest.raises(RuntimeError):
        in_project.session(embeddings=address, items=address)
    run_id, name = in_project.ask("SELECT run_uuid, name FROM runs")[0]
    assert name.startswith("emb_rq_kmeans_20")
    shown = "https://***@host/a/emb.parquet?***"
    assert in_project.pairs("params", run_id)["embeddings"] == shown
    tags = in_project.pairs("tags", run_id)
    assert tags["kedro_command"] == f"kedro run --params=embeddings={shown}"
    assert shown in tags["runtime_params"]
    log = next((in_project.folder / "logs").glob("*_emb_rq_kmeans.log")).read_text()
    assert f"cannot read embeddings={shown}" in log
    told = [
        log,
        *capfd.readouterr(),
        (in_project.folder / "mlflow.db").read_bytes().decode("latin"),
    ]
    for text in told:
        assert "pa55word" not in text
        assert "0123456789abcdef0123456789" not in text


def test_a_dead_server_costs_a_loud_warning(
    in_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text(DEAD)
    start = time.monotonic()
    in_project.session()
    assert time.monotonic() - start < 5
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "NOT TRACKED" in warnings[0]
    assert "http://127.0.0.1:9 does not answer within 5 s" in warnings[0]
    assert (in_project.folder / "data/08_reporting/metrics.json").exists()


def test_a_dead_server_stops_the_run_where_tracking_is_required(in_project: Project) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text(DEAD)
    with pytest.raises(BadInput, match=r"does not answer within 1 s .*tracking.required=false"):
        in_project.session(tracking={"required": True, "timeout_seconds": 1})
    assert not (in_project.folder / "data").exists()


def test_a_wrong_mlflow_yml_is_bad_input(in_project: Project) -> None:
    (in_project.folder / "conf/local/mlflow.yml").write_text("tracking: {experimnt: {name: x}}")
    with pytest.raises(BadInput, match=r"mlflow.yml: .*experimnt"):
        in_project.session()


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let MLflow fail in the middle of a run."""
    calls: list[int] = []

    def log_metrics(self: TrackedRun, metrics: list) -> None:
        calls.append(1)
        raise ConnectionError("the server went away")

    monkeypatch.setattr(TrackedRun, "log_metrics", log_metrics)
    return calls


def test_tracking_that_breaks_in_the_middle_does_not_end_the_run(
    in_project: Project, breaking: list, caplog: pytest.LogCaptureFixture
) -> None:
    in_project.session()
    assert len(breaking) == 1
    assert sum("NOT TRACKED" in record.getMessage() for record in caplog.records) == 1
    assert in_project.statuses == ["FINISHED"]
    assert (in_project.folder / "data/08_reporting/metrics.json").exists()


def test_tracking_that_breaks_ends_the_run_where_it_is_required(
    in_project: Project, breaking: list
) -> None:
    with pytest.raises(BadInput, match="the server went away"):
        in_project.session(tracking={"required": True})
    assert in_project.statuses == ["FAILED"]
    assert mlflow.active_run() is None


def test_a_database_that_is_none_does_not_end_the_run(
    in_project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    Path("mlflow.db").write_text("this is no database, and long enough to be taken for none" * 20)
    in_project.session()
    assert "NOT TRACKED" in caplog.text
