from __future__ import annotations

import subprocess
from pathlib import Path

from semantic_ids.app.hooks.git import describe_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@x")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_commit_and_uncommitted_changes(tmp_path: Path) -> None:
    assert describe_commit(tmp_path / "nowhere") == {}
    git(tmp_path, "init")
    assert describe_commit(tmp_path) == {}  # no commit yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    commit = git(tmp_path, "log", "-1", "--format=%H")
    assert describe_commit(tmp_path) == {"mlflow.source.git.commit": commit, "git.dirty": "false"}
    (tmp_path / "data").touch()
    assert describe_commit(tmp_path)["git.dirty"] == "false"  # what runs write does not count
    (tmp_path / "file").write_text("2")
    assert describe_commit(tmp_path)["git.dirty"] == "true"
