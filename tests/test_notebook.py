"""The notebook runs on what a run has written, and is committed without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks/explore_semantic_ids.ipynb"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory) -> Path:
    """Folder of the artifacts of a whole run in the `test` environment."""
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    folder = tmp_path_factory.mktemp("data")
    bootstrap_project(ROOT)
    with KedroSession.create(
        project_path=ROOT, env="test", runtime_params={"data_root": str(folder)}
    ) as session:
        session.run(pipeline_names=["tokenize"])
    return folder


@pytest.mark.slow
def test_notebook_runs(artifacts, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("SEMANTIC_IDS_DATA_ROOT", str(artifacts))
    monkeypatch.setenv("KEDRO_ENV", "test")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "2,000 items, 2,000 different IDs" in printed


def test_notebook_is_committed_without_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
