"""Kedro's commands stay quick, quiet and away from the tracking server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys
from kedro.framework.cli import main
sys.argv = ["kedro", *sys.argv[1:]]
try:
    main()
finally:
    print("IMPORTED", *sorted({"torch", "faiss", "matplotlib", "sklearn"} & sys.modules.keys()))
"""


def kedro(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.slow
def test_registry_list_imports_neither_torch_nor_faiss_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = set(tmp_path.iterdir())
    answer = kedro("registry", "list", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert {"tokenize", "__default__", "ingest"} <= {
        line.strip("- '") for line in answer.stdout.splitlines()
    }
    assert answer.stdout.splitlines()[-1] == "IMPORTED"
    assert answer.stderr == ""
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_kedro_run_is_ours_and_quiet_also_from_a_folder_below() -> None:
    answer = kedro("run", "--env=rq-vae", folder=ROOT / "conf" / "base")
    assert answer.returncode == 1
    assert answer.stderr.startswith(
        f"Error: {ROOT}/conf: unknown environment 'rq-vae'; the nearest is 'rq_vae'; expected one"
        " of base, "
    )
    assert answer.stderr.count("\n") == 1
