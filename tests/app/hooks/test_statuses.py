"""However a run ends, MLflow, the exit code and the terminal tell the truth."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from tests.probe import Project

from semantic_ids.cli import cli


@pytest.mark.parametrize(
    ("action", "code", "status", "line"),
    [
        ("bad", 1, "FAILED", "Error: x.parquet: column 'embedding' is missing; name another."),
        ("bad-save", 1, "FAILED", "Error: the folder is bad; make a better one."),
        (
            "full",
            1,
            "FAILED",
            (
                "Error: codes.parquet: no space left on device; free some, or write elsewhere with"
                " --params=data_root=DIR."
            ),
        ),
        (
            "interrupt",
            130,
            "RUNNING",
            "Interrupted.",
        ),  # until the process ends, or the next run begins
        ("exit", 3, "RUNNING", ""),
    ],
)
def test_a_run_that_ends_early(
    in_project: Project,
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    code: int,
    status: str,
    line: str,
) -> None:
    monkeypatch.setenv("PROBE", action)
    result = CliRunner().invoke(cli, ["run", "--pipeline=tokenize"])
    assert (result.exit_code, in_project.statuses) == (code, [status]), result.output
    assert result.stderr.strip() == line
    monkeypatch.setenv("PROBE", "")
    in_project.session()
    assert in_project.statuses == ["KILLED" if status == "RUNNING" else status, "FINISHED"]


Ended = tuple[Project, subprocess.CompletedProcess]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


def end(
    project: Project, process: subprocess.Popen, number: signal.Signals | None
) -> subprocess.CompletedProcess:
    """Wait for a run to end, or end it in the middle."""
    if number is not None:
        deadline = time.monotonic() + 120
        while (
            not (project.folder / "asleep").exists()
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def ended(new_project: Callable[[], Project]) -> dict[signal.Signals, Ended]:
    """A run for each signal, in processes of their own, side by side."""
    projects = {number: new_project() for number in SIGNALS}
    processes = {number: project.start(action="sleep") for number, project in projects.items()}
    return {
        number: (projects[number], end(projects[number], processes[number], number))
        for number in SIGNALS
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "status", "last_line"),
    [
        (signal.SIGINT, 130, "KILLED", "Interrupted."),
        (signal.SIGTERM, 143, "KILLED", "train …"),
        (signal.SIGKILL, -9, "RUNNING", "train …"),  # nothing can tell; the next run does
    ],
)
def test_signals(
    ended: dict[signal.Signals, Ended],
    number: signal.Signals,
    code: int,
    status: str,
    last_line: str,
) -> None:
    project, process = ended[number]
    assert (process.returncode, project.statuses) == (code, [status]), process.stderr
    assert process.stderr.splitlines()[-1].endswith(last_line)
    assert all(" INFO " in line for line in process.stderr.splitlines()[:-1])
    assert project.logs[0].endswith("The run was killed.\n") == (number != signal.SIGKILL)


@pytest.mark.slow
def test_the_run_after_a_kill_works_and_marks_it(ended: dict[signal.Signals, Ended]) -> None:
    project, _ = ended[signal.SIGKILL]
    process = end(project, project.start(), None)
    assert process.returncode == 0, process.stderr
    assert project.statuses == ["KILLED", "FINISHED"]
    assert "marked 1 earlier run of this machine as KILLED" in process.stderr
    assert "data/08_reporting/metrics.json" in process.stdout
    assert not list(project.folder.rglob("mlruns"))


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ({"host": "elsewhere"}, "RUNNING"),
        ({"process": "an earlier one with the same number"}, "KILLED"),
        ({}, "RUNNING"),
    ],
)
def test_only_runs_whose_process_is_gone_are_marked(
    in_project: Project, tags: dict[str, str], status: str
) -> None:
    from mlflow import MlflowClient

    from semantic_ids.app.hooks.tracked_run import process_tags

    client = MlflowClient(f"sqlite:///{in_project.folder}/mlflow.db")
    client.create_run(client.create_experiment("semantic_ids"), tags=process_tags() | tags)
    in_project.session()
    assert in_project.statuses == [status, "FINISHED"]
