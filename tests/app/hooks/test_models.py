"""A tokenizer's graphs as MLflow models: from code, registered, served, and as careful as the
runtime.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from kedro.framework.project import configure_project
from kedro.pipeline import Node, Pipeline
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import load_model
from tests.conftest import clustered
from tests.probe import METRICS, Project

from semantic_ids import RQKMeans, load_encoder, pipeline_registry
from semantic_ids.app.hooks.models import CODE
from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.parameters import ExportParameters, TokenizerParameters
from semantic_ids.tokenizers.format import GRAPH_FILES, read_provenance

CATALOG = """
onnx_graphs:
  type: semantic_ids.datasets.OnnxGraphsDataset
  filepath: ${_root}/06_models/tokenizer/encoder.onnx
"""
WANTED = {"onnx": True, "mlflow_model": True}
X = clustered(600, 16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer that normalizes, with its graphs."""
    options = dict.fromkeys(("iterations", "anneal_rounds", "refine_rounds"), 1)
    made = RQKMeans(
        codebook_sizes=(8, 9, 10),
        preprocess={"normalize": True},
        device="cpu",
        unique_rounds=0,
        **options,
    ).fit(X)
    made.provenance = Provenance("tokenizer", {"embeddings": "c0ffee"}, content=made.content)
    made.save(path := tmp_path_factory.mktemp("fitted") / "tokenizer", onnx=True)
    return path


@pytest.fixture
def project(in_project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that writes these graphs, and metrics afterwards."""
    graphs = {name: (folder / file).read_bytes() for name, file in GRAPH_FILES.items()}

    def export(tokenizer: TokenizerParameters, export: ExportParameters) -> dict[str, bytes]:
        return graphs if export.onnx else {}

    def evaluate(graphs: dict[str, bytes]) -> dict:
        return METRICS

    def register_pipelines() -> dict[str, Pipeline]:
        first = Node(export, ["params:tokenizer", "params:export"], "onnx_graphs", name="export")
        return {"tokenize": Pipeline([first, Node(evaluate, "onnx_graphs", "metrics", name="e")])}

    monkeypatch.setattr(pipeline_registry, "register_pipelines", register_pipelines)
    configure_project("semantic_ids")
    with open("conf/base/catalog.yml", "a") as file:
        file.write(CATALOG)
    shutil.copytree(folder, "data/06_models/tokenizer")
    return in_project


@pytest.fixture(scope="module")
def models(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Name of each model → its folder, as MLflow keeps it."""
    from semantic_ids.app.hooks.models import log_models

    place, before = tmp_path_factory.mktemp("mlflow"), mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{place}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("models", artifact_location=str(place / "files"))
    run_id = client.create_run(experiment).info.run_id
    made, _ = log_models(run_id, folder)
    assert mlflow.active_run() is None
    yield {
        name: Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))
        for name, model_id in made.items()
    }
    mlflow.set_tracking_uri(before)


def test_a_run_logs_and_registers_its_graphs(project: Project, folder: Path) -> None:
    project.session(export=WANTED)
    project.session(export=WANTED | {"registered_model": "mine", "model_alias": ""})
    project.session(export=WANTED)
    assert project.statuses == ["FINISHED"] * 3
    assert mlflow.active_run() is None
    names = ["semantic_ids", "semantic_ids_decoder"]
    known = "SELECT name, version FROM model_versions ORDER BY name, version"
    assert project.ask(known) == [
        *[("mine", 1), ("mine_decoder", 1)],
        *[(name, version) for name in names for version in (1, 2)],
    ]
    assert project.ask("SELECT name, alias, version FROM registered_model_aliases") == [
        (name, "champion", 2) for name in names
    ]
    run_id = project.ask("SELECT run_id FROM model_versions WHERE name = 'mine'")[0][0]
    assert run_id in {found for (found,) in project.ask("SELECT run_uuid FROM runs")}
    assert set(
        project.ask("SELECT value FROM model_version_tags WHERE key = 'fingerprint.tokenizer'")
    ) == {(read_provenance(folder).fingerprint,)}
    kept = {file.name for file in (project.folder / "mlartifacts" / run_id).rglob("tokenizer/*")}
    assert kept == {"encoder.onnx", "decoder.onnx"}
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    champion = load_model("models:/semantic_ids@champion")
    assert np.array_equal(champion.predict(X), load_encoder(folder).encode(X))


def test_graphs_are_kept_in_the_run_also_without_a_model(project: Project) -> None:
    project.session(export={"onnx": True})
    project.session()
    assert len(list((project.folder / "mlartifacts").rglob("tokenizer/*.onnx"))) == 2
    assert project.ask("SELECT * FROM logged_models") == []


def test_a_registry_that_does_not_answer_costs_a_warning(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    server = "server: {mlflow_registry_uri: 'http://127.0.0.1:9'}"
    (project.folder / "conf/local/mlflow.yml").write_text(server)
    project.session(export=WANTED)
    warnings = [found for found in caplog.records if found.levelname == "WARNING"]
    said = [found.getMessage() for found in warnings if found.name != "py.warnings"]
    assert len(said) == 1 and "\n" not in said[0]
    assert "not registered as 'semantic_ids', but kept in the run (models:/m-" in said[0]
    assert "the MLflow server http://127.0.0.1:9 does not answer within 5 s" in said[0]
    assert project.statuses == ["FINISHED"]
    run_id = project.ask("SELECT run_uuid FROM runs")[0][0]
    assert project.pairs("metrics", run_id)["codes.max_collision"] == 3
    assert project.ask("SELECT name FROM logged_models ORDER BY name") == [
        ("semantic_ids",),
        ("semantic_ids_decoder",),
    ]


def test_and_ends_the_run_where_tracking_is_required(project: Project) -> None:
    server = "server: {mlflow_registry_uri: 'http://127.0.0.1:9'}"
    (project.folder / "conf/local/mlflow.yml").write_text(server)
    with pytest.raises(BadInput, match="not registered as 'semantic_ids'"):
        project.session(export=WANTED, tracking={"required": True})
    assert project.statuses == ["FAILED"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"export": {"mlflow_model": True}}, "made of the graphs that export.onnx writes"),
        ({"export": WANTED, "tracking": {"enabled": False}}, "there is no MLflow run"),
        ({"export": {"registered_model": "mine"}}, "only export.mlflow_model makes"),
        (
            {"export": WANTED | {"registered_model": "", "model_alias": "best"}},
            "none is registered",
        ),
    ],
)
def test_what_would_come_to_nothing_is_refused_before_any_work(
    project: Project, parameters: dict, said: str
) -> None:
    with pytest.raises((BadInput, ValueError), match=said):
        project.session(**parameters)
    assert project.statuses == []


def test_a_model_is_code_and_graphs_without_a_pickle_and_without_vectors_of_the_user(
    models: dict[str, Path],
) -> None:
    for path in models.values():
        assert {file.name for file in path.rglob("*") if file.is_file()} == {
            *("MLmodel", "requirements.txt", "conda.yaml", "python_env.yaml"),
            *("input_example.json", "serving_input_example.json"),
            *(CODE.name, "encoder.onnx", "decoder.onnx", "config.json", "manifest.json"),
        }
        wanted = (path / "requirements.txt").read_text().split()
        assert f"numpy=={np.__version__}" in wanted
        assert sorted(line.partition("==")[0] for line in wanted) == [
            *("mlflow", "numpy", "onnxruntime")
        ]
    example = json.loads((models["semantic_ids"] / "input_example.json").read_text())
    assert example == [[1.0] * 16]


ALONE = """
import pickle, sys
for name in ("semantic_ids", "torch", "kedro", "kedro_mlflow", "onnx"):
    sys.modules[name] = None
def refuse(*args, **kwargs): raise AssertionError("a pickle was read")
pickle.load = pickle.loads = pickle.Unpickler = refuse
import numpy as np
from mlflow.pyfunc import load_model
for folder, given, made in zip(sys.argv[1:4:2], ("x.npy", "c.npy"), ("c.npy", "x_.npy")):
    np.save(made, load_model(folder).predict(np.load(given)))
"""


def test_it_needs_neither_this_project_nor_torch_nor_pickles(
    models: dict[str, Path], folder: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", X)
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    arguments = [models["semantic_ids"], "", models["semantic_ids_decoder"]]
    subprocess.run(
        [sys.executable, "-c", ALONE, *arguments], cwd=tmp_path, env=environment, check=True
    )
    encoder = load_encoder(folder)
    codes = np.load(tmp_path / "c.npy")
    assert codes.dtype == np.int32 and np.array_equal(codes, encoder.encode(X))
    assert np.array_equal(np.load(tmp_path / "x_.npy"), encoder.decode(codes))


def changed(values: np.ndarray, at: object, value: float) -> np.ndarray:
    values = values.copy()
    values[at] = value
    return values


CODES = np.zeros((3, 3), np.int32)


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("semantic_ids", changed(X, (411, 3), np.nan)),
        ("semantic_ids", changed(X, (5, 0), -np.inf)),
        ("semantic_ids", changed(X, 599, 0)),
        ("semantic_ids", X[:, :15]),
        ("semantic_ids", X[0]),
        ("semantic_ids", X > 0),
        ("semantic_ids_decoder", changed(CODES, (2, 1), -1)),
        ("semantic_ids_decoder", changed(CODES, (1, 2), 10)),
        ("semantic_ids_decoder", CODES[:, :2]),
        ("semantic_ids_decoder", CODES + 0.5),
    ],
)
def test_it_refuses_what_the_runtime_refuses_in_the_same_words(
    models: dict[str, Path], folder: Path, model: str, given: np.ndarray
) -> None:
    encoder = load_encoder(folder)
    convert: Callable = encoder.encode if model == "semantic_ids" else encoder.decode
    with pytest.raises(BadInput) as expected:
        convert(given)
    inner = load_model(str(models[model])).unwrap_python_model()
    with pytest.raises(MlflowException) as found:
        inner.predict(None, given)
    assert found.value.message == str(expected.value)
    assert found.value.get_http_status_code() == 400


def test_no_rows_are_no_codes(models: dict[str, Path]) -> None:
    model = load_model(str(models["semantic_ids"]))
    assert model.predict(X[:0]).shape == (0, 3)


def ask(port: int, rows: object) -> tuple[int, dict]:
    """Send rows to a model server; return its status and answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations",
        json.dumps({"inputs": rows}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture
def server(models: dict[str, Path], tmp_path: Path) -> Iterator[int]:
    """The port of `mlflow models serve`, which is a group of processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    beside = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{beside}:{os.environ['PATH']}"}
    command = [beside / "mlflow", "models", "serve", "-m", models["semantic_ids"]]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--env-manager", "local", "-p", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_over_http_it_gives_the_same_codes_and_400_for_what_is_refused(
    server: int, folder: Path
) -> None:
    assert ask(server, X.tolist()) == (
        200,
        {"predictions": load_encoder(folder).encode(X).tolist()},
    )
    for rows, said in (
        (X[:2, :15], "does not match expected shape"),
        (changed(X[:3], (1, 4), np.nan), "row 1: it holds NaN"),
        (np.zeros((1, 16)), "row 0: it is a vector of zeros"),
    ):
        status, answer = ask(server, rows.tolist())
        assert (status, said in answer["message"]) == (400, True), answer
