"""One run at a time below a data_root."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.probe import ROOT, Project

from semantic_ids.app.hooks.lock import INHERITED, NAME, FolderLock
from semantic_ids.errors import BadInput

QUIET = {"tracking": {"enabled": False}}

HOLD = """
import sys, time
from pathlib import Path
from semantic_ids.app.hooks.lock import FolderLock
lock = FolderLock(Path(sys.argv[1])); lock.take(); print("held", flush=True); time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """A process that holds the lock of `tmp_path / "data"`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_is_told_host_and_process(holder: subprocess.Popen, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=rf"data: another run \(process {holder.pid} on \S+, since"):
        FolderLock(tmp_path / "data").take()
    assert (tmp_path / "data" / NAME).exists()


def test_the_lock_of_a_killed_process_does_not_block(
    holder: subprocess.Popen, tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = FolderLock(tmp_path / "data")
    assert lock.file.exists()
    lock.take()
    assert json.loads(lock.file.read_text())["process"] == os.getpid()
    lock.release()
    assert not (tmp_path / "data" / NAME).exists()


def test_what_was_made_for_the_lock_is_removed(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "a" / "b")
    lock.take()
    lock.release()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"host": 1}'])
def test_a_file_that_says_nothing_does_not_block(tmp_path: Path, left: str) -> None:
    (tmp_path / NAME).write_text(left)
    lock = FolderLock(tmp_path)
    lock.take()
    lock.release()


def test_a_run_of_another_machine_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = {"host": "elsewhere", "process": 7, "since": "2026-01-01", "token": ""}
    (tmp_path / NAME).write_text(json.dumps(left))
    lock = FolderLock(tmp_path)
    lock.take()
    lock.release()
    assert "a run of process 7 on elsewhere, since 2026-01-01, did not end" in caplog.text


def test_where_there_are_no_locks_what_the_file_says_is_gone_by(
    holder: subprocess.Popen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(BadInput, match=f"process {holder.pid} on"):
        FolderLock(tmp_path / "data").take()
    holder.kill()
    holder.wait()
    lock = FolderLock(tmp_path / "data")
    lock.take()
    lock.release()


def test_a_folder_that_cannot_be_made_is_left_to_the_stages(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock = FolderLock(tmp_path / "file" / "data")
    lock.take()
    lock.release()


def test_a_run_beside_another_is_refused_at_its_start(
    new_project: Callable[[], Project],
) -> None:
    project = new_project()
    first = project.start(action="sleep")
    while not (project.folder / "asleep").exists():
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.1)
    second = project.start()
    _, said = second.communicate(timeout=120)
    assert second.returncode == 1
    assert re.search(rf"^Error: \S+/data: another run \(process {first.pid} on ", said), said
    assert said.count("\n") == 1
    third = project.start("--params=data_root=other")
    assert third.wait(timeout=120) == 0
    first.kill()
    first.communicate()
    assert project.start().wait(timeout=120) == 0
    assert not (project.folder / "data" / NAME).exists()


def test_runs_one_after_the_other_and_refused_ones_leave_no_lock(in_project: Project) -> None:
    for _ in range(2):
        in_project.session(**QUIET)
    with pytest.raises(BadInput, match="--only-missing-outputs"):
        in_project.session(run={"only_missing_outputs": True}, data_root="new", **QUIET)
    assert not (in_project.folder / "data" / NAME).exists()
    assert not (in_project.folder / "new").exists()
    assert INHERITED not in os.environ


def test_the_lock_of_an_interrupted_run_ends_with_the_next(
    in_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook, whose process goes on after Ctrl-C."""
    monkeypatch.setenv("PROBE", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        in_project.session(**QUIET)
    assert (in_project.folder / "data" / NAME).exists()
    monkeypatch.delenv("PROBE")
    assert in_project.session(**QUIET)
    assert not (in_project.folder / "data" / NAME).exists()
    assert INHERITED not in os.environ


@pytest.mark.parametrize(
    ("variable", "value"), [("RANK", "1"), (INHERITED, "{folder}/data")], ids=["rank", "nested"]
)
def test_a_rank_and_a_run_inside_a_run_share_the_lock(
    in_project: Project, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    lock = FolderLock((in_project.folder / "data").resolve())
    lock.take()
    monkeypatch.delenv(INHERITED)
    with pytest.raises(BadInput, match="another run"):
        in_project.session(**QUIET)
    monkeypatch.setenv(variable, value.format(folder=in_project.folder.resolve()))
    assert in_project.session(**QUIET)
    lock.release()
