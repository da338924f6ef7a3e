"""The doors of the project around a small pipeline that does what it is told.

The harness of the tests of `cli` and `hooks`.

As a module it gives `Project`, a folder with the project's own configuration and the small
pipeline. As a script it is the packaged project: `python -m tests.probe ARGUMENTS OF RUN`, in such
a folder. The environment variable PROBE says what the pipeline comes to.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.pipeline import Node, Pipeline

from semantic_ids import pipeline_registry
from semantic_ids.artifacts import Provenance
from semantic_ids.datasets import TokenizerDataset
from semantic_ids.errors import BadInput
from semantic_ids.parameters import EvaluateParameters, TokenizerParameters
from semantic_ids.progress import report_step

ROOT = Path(__file__).parents[1]

CATALOG = """
_root: ${runtime_params:data_root, ${globals:data_root}}
metrics: {type: semantic_ids.datasets.JsonDataset, filepath: "${_root}/08_reporting/metrics.json"}
tokenizer: {type: tests.probe.FolderDataset, filepath: "${_root}/06_models/tokenizer"}
figure_dot: {type: text.TextDataset, filepath: "${_root}/08_reporting/dot.png"}
"""

MLFLOW_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
)
METRICS = {
    "reconstruction.relative_mse": 0.25,
    "reconstruction.space": "input",
    "codes.max_collision": 3,
    "hierarchy.cohesion.1": 0.5,
}


class FolderDataset(TokenizerDataset):
    """A folder with a small JSON file and something large."""

    def __init__(self, filepath: str, metadata: dict | None = None) -> None:
        self._filepath = Path(filepath)

    def save(self, data: str) -> None:
        if data == "bad":
            raise BadInput("the folder is bad", do="make a better one")
        self._filepath.mkdir(parents=True, exist_ok=True)
        (self._filepath / "config.json").write_text("{}")
        (self._filepath / "model.safetensors").write_text("large")

    def load(self) -> str:
        return "good"

    def _describe(self) -> dict:
        return {"filepath": self._filepath}


def ingest(tokenizer: TokenizerParameters) -> SimpleNamespace:
    return SimpleNamespace(provenance=Provenance("embeddings", content="c0ffee"))


def train(embeddings: SimpleNamespace, tokenizer: TokenizerParameters) -> tuple[str, pa.Table]:
    action = os.environ.get("PROBE", "")
    if action == "defect":
        raise RuntimeError("a defect of ours")
    if action == "tell-input":
        logging.getLogger("a library").warning("cannot read %s", sys.argv[-1].partition("=")[2])
        raise RuntimeError(f"a defect of ours with {sys.argv[-1]}")
    if action == "bad":
        raise BadInput("column 'embedding' is missing", where="x.parquet", do="name another")
    if action == "exit":
        sys.exit(3)
    if action == "interrupt":
        raise KeyboardInterrupt
    if action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "codes.parquet")
    if action == "sleep":
        Path("asleep").touch()
        time.sleep(300)
    if action == "tell":
        report_step("training", {"loss": 0.125, "note": "x"}, 7)
    history = pa.table({"step": [1, 2], "phase": ["train"] * 2, "loss": [0.5, None]})
    return "bad" if action == "bad-save" else "good", history


def evaluate(tokenizer: str, evaluate: EvaluateParameters) -> tuple[dict, str]:
    return METRICS, "png"


def register_pipelines() -> dict[str, Pipeline]:
    tokenize = Pipeline(
        [
            Node(ingest, "params:tokenizer", "embeddings", name="ingest"),
            Node(
                train,
                ["embeddings", "params:tokenizer"],
                ["tokenizer", "training_history"],
                name="train",
            ),
            Node(
                evaluate,
                ["tokenizer", "params:evaluate"],
                ["metrics", "figure_dot"],
                name="evaluate",
            ),
        ]
    )
    return {"tokenize": tokenize, "__default__": tokenize}


@contextmanager
def as_mlflow_was() -> Iterator[None]:
    """Begin without the variables that MLflow itself sets in a process, and leave none behind."""
    import mlflow

    before = {name: os.environ.pop(name, None) for name in MLFLOW_VARIABLES}
    try:
        yield
    finally:
        mlflow.set_registry_uri(None)  # else processes that are started later inherit it
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class Project:
    """A folder to run in, as after `kedro package`: `conf` beside the data, no `pyproject.toml`."""

    def __init__(self, folder: Path, database: Path | None = None) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "conf", folder / "conf")
        (folder / "conf/base/catalog.yml").write_text(CATALOG)
        if database:
            shutil.copy(database, folder / "mlflow.db")

    @contextmanager
    def entered(self) -> Iterator[Project]:
        """Let this process be in the folder, with the small pipeline in place of the real ones."""
        with pytest.MonkeyPatch.context() as patch, as_mlflow_was():
            patch.setattr(pipeline_registry, "register_pipelines", register_pipelines)
            patch.chdir(self.folder)
            configure_project("semantic_ids")
            yield self
        configure_project("semantic_ids")

    def start(self, *arguments: str, action: str = "") -> subprocess.Popen:
        """Start the packaged project in a process of its own.

        It hears Ctrl-C even where this one ignores it, as after `nohup` or `&`.
        """
        inherited = {name: v for name, v in os.environ.items() if name not in MLFLOW_VARIABLES}
        environment = {**inherited, "PROBE": action, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.probe", *arguments],
            cwd=self.folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads are started before
        )

    def session(
        self,
        pipeline: str = "tokenize",
        env: str | None = None,
        run: dict | None = None,
        **parameters: object,
    ) -> dict:
        """Run in this process, as a notebook does; `run` is what `session.run` gets beside."""
        with KedroSession.create(
            project_path=self.folder, env=env, runtime_params=parameters
        ) as session:
            return session.run(pipeline_names=[pipeline], **(run or {}))

    def ask(self, query: str) -> list[tuple]:
        """Ask the tracking database itself."""
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            return database.execute(query).fetchall()

    def pairs(self, table: str, run_id: str) -> dict:
        """Return the params, metrics or tags of a run."""
        return dict(self.ask(f"SELECT key, value FROM {table} WHERE run_uuid = '{run_id}'"))

    @property
    def statuses(self) -> list[str]:
        return [status for (status,) in self.ask("SELECT status FROM runs ORDER BY start_time")]

    @property
    def logs(self) -> list[str]:
        return [file.read_text() for file in sorted((self.folder / "logs").glob("*.log"))]


if __name__ == "__main__":
    from semantic_ids.__main__ import main

    pipeline_registry.register_pipelines = register_pipelines
    main()
