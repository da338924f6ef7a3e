"""The commit that a run was made with.

MLflow looks for it beside `.venv/bin/kedro`, and finds none.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def describe_commit(project: Path) -> dict[str, str]:
    """Return MLflow tags: the commit of the project's repository, and whether files differ from it.

    Empty without a repository.
    """
    try:
        commit = _git(project, "rev-parse", "HEAD")
        dirty = bool(_git(project, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"mlflow.source.git.commit": commit, "git.dirty": str(dirty).lower()}


def _git(project: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=project, capture_output=True, text=True, check=True, timeout=10
    )
    return answer.stdout.strip()
