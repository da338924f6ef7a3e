"""The root of a project is that of the project, wherever the process was started."""

from __future__ import annotations

import pytest

from semantic_ids.app.config_loader import ProjectConfigLoader

PYPROJECT = '[tool.kedro]\npackage_name = "p"\nproject_name = "p"\nkedro_init_version = "1.7.0"\n'


@pytest.fixture
def two_projects(tmp_path):
    """Two folders with a project each, whose catalog says where it is."""
    for name in ("a", "b"):
        base = tmp_path / name / "conf/base"
        base.mkdir(parents=True)
        (tmp_path / name / "pyproject.toml").write_text(PYPROJECT)
        (base / "catalog.yml").write_text("items: {root: '${project_root:}'}\n")
    return tmp_path / "a", tmp_path / "b"


def test_each_of_two_projects_has_its_own_root(two_projects, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaders = [
        ProjectConfigLoader(str(project / "conf"), base_env="base", default_run_env="base")
        for project in two_projects
    ]
    roots = [loader["catalog"]["items"]["root"] for loader in loaders]
    assert roots == [str(project) for project in two_projects]


def test_configuration_without_a_project_starts_at_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "conf/base"
    base.mkdir(parents=True)
    (base / "catalog.yml").write_text("items: {root: '${project_root:}'}\n")
    loader = ProjectConfigLoader(str(tmp_path / "conf"), base_env="base", default_run_env="base")
    assert loader["catalog"]["items"]["root"] == str(tmp_path)


def test_a_session_finds_the_data_of_the_project_from_another_folder(run, tmp_path, monkeypatch):
    """The sample is given by a path that starts at the project's root."""
    monkeypatch.chdir(tmp_path)
    run("ingest")
    assert (tmp_path / "data/03_primary/embeddings/manifest.json").is_file()
