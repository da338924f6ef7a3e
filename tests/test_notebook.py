"""The notebooks run, and are committed without outputs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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


def printed(name: str) -> str:
    """Run a notebook in its folder and return what its cells print."""
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    ).execute()
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


@pytest.mark.slow
def test_the_notebook_of_a_run_runs(artifacts, monkeypatch):
    monkeypatch.setenv("SEMANTIC_IDS_DATA_ROOT", str(artifacts))
    monkeypatch.setenv("KEDRO_ENV", "test")
    assert "2,000 items, 2,000 different IDs" in printed("explore_semantic_ids.ipynb")


@pytest.mark.slow
def test_the_notebook_of_the_python_api_runs():
    text = printed("python_api.ipynb")
    assert "9,403 items, 9,403 different IDs" in text
    assert "RQKMeans(codebook_sizes=(64, 64, 64), device='cpu', anneal_rounds=20)" in text


@pytest.mark.slow
def test_the_notebook_on_serving_and_publishing_runs():
    text = printed("serve_and_publish.ipynb")
    assert "row 3: it holds NaN or infinite values" in text
    assert "9,403 of 9,403 rows are equal" in text
    assert "100% of the IDs are in the trie" in text
    assert "50 items have left, 100 are new\n0 of 1,950 IDs have moved\n0 of the new" in text


@pytest.mark.slow
def test_the_notebook_on_recommending_runs():
    text = printed("recommend.ipynb")
    assert "1,500 users, 9,403 items" in text
    assert "history: " in text and "animals alone: " in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
