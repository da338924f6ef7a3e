"""Several processes that torchrun has started: what they may run, and who writes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.probe import Project

from semantic_ids.errors import BadInput

QUIET = {"tracking": {"enabled": False}}


def started(monkeypatch: pytest.MonkeyPatch, processes: int, number: int = 0) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    monkeypatch.setenv("RANK", str(number))


def test_they_run_no_stage_but_train(in_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, 4)
    with pytest.raises(
        BadInput,
        match=r"4 processes were started to run evaluate, ingest; expected --pipelines=train",
    ):
        in_project.session(tokenizer={"kind": "rq_vae"}, **QUIET)


def test_one_process_runs_all(in_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    started(monkeypatch, 1)
    assert in_project.session(**QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rq_vae", "rq_kmeans"])
def test_two_processes_train_what_one_does_and_the_first_writes_it(
    kind: str, tmp_path: Path, root: Path
) -> None:
    """The command of docs/rq-vae.md, on the embedded sample."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"data_root={tmp_path},logs.folder={tmp_path}/logs"
    options += f",tokenizer.kind={kind},ingest.max_items=600"
    command = ["-m", "semantic_ids", "--env=test", f"--params={options}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "src")}

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    before = ran(*command, "--pipelines=ingest,sample")
    assert before.returncode == 0, before.stderr
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    together = ran(*torchrun, *command, "--pipelines=train")
    if kind == "rq_kmeans":
        assert (
            together.returncode == 1
            and "2 processes were started to fit rq_kmeans, which takes one" in together.stderr
        )
        assert not (tmp_path / "06_models").exists()
        return
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("06_models/tokenizer") == 1
    after = ran(*command, "--pipelines=identify,export,evaluate")
    assert after.returncode == 0, after.stderr


@pytest.mark.slow
def test_two_processes_train_a_recommender_and_the_first_writes_it(
    tmp_path: Path, root: Path
) -> None:
    """The command of docs/recommend.md, on the embedded sample."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"data_root={tmp_path},logs.folder={tmp_path}/logs,ingest.max_items=600"
    command = ["-m", "semantic_ids", "--env=test", f"--params={options}", "--pipelines=recommend"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root / "src")}

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, *words],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found

    tokenize = [*command[:-1], "--pipelines=ingest,sample,train,identify"]
    ran(*tokenize)
    ran(*command, "--nodes=read_histories")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={port}"]
    together = ran(*torchrun, *command, "--nodes=fit_recommender")
    assert together.stdout.count("06_models/recommender") == 1
    ran(*command, "--nodes=recommend,judge,draw_recommend")
    assert (tmp_path / "07_model_output/recommendations.parquet").exists()
