"""The root of a project is that of the project, wherever the process was started."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile

import pytest
from tests.probe import ROOT, Project

from semantic_ids.app.config_loader import ProjectConfigLoader
from semantic_ids.app.hooks.configuration import require_environment
from semantic_ids.errors import BadInput

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


@pytest.mark.parametrize("name", ["a [1]", "a*b", "a?", "[!x]", "日本"])
def test_the_folder_of_a_project_is_no_pattern(name, tmp_path):
    base = tmp_path / name / "conf/base"
    base.mkdir(parents=True)
    (base / "parameters_x.yml").write_text("seed: 3 # 日本", encoding="utf-8")
    (base / "parameters").mkdir()
    (base / "parameters" / "y.yml").write_text("size: 4")
    loader = ProjectConfigLoader(
        str(tmp_path / name / "conf"), base_env="base", default_run_env="base"
    )
    assert loader["parameters"] == {"seed": 3, "size": 4}


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "parameters.yml").write_bytes("folder: é".encode("latin-1"))
    loader = ProjectConfigLoader(str(tmp_path), base_env="base", default_run_env="base")
    with pytest.raises(BadInput, match=r"base/parameters.yml: byte 0xe9 is not UTF-8; expected"):
        loader["parameters"]


def test_configuration_is_utf8_whatever_the_terminal_is(tmp_path):
    """In a terminal of ASCII a wrong value is one line that names its file."""
    project = Project(tmp_path / "project")
    (project.folder / "conf/local/parameters.yml").write_text(
        "tokenizer: {seed: x}  # 日本語", encoding="utf-8"
    )
    run = subprocess.run(  # noqa: PLW1510 - its code is looked at
        [sys.executable, "-m", "tests.probe"],
        cwd=project.folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "LC_ALL": "C",
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stderr == (
        "Error: conf/local/parameters.yml: parameter 'tokenizer.seed' is 'x', expected a valid"
        " integer.\n"
    )


def test_an_unknown_environment_of_a_packed_configuration_is_named(tmp_path):
    with tarfile.open(tmp_path / "conf.tar.gz", "w:gz") as packed:
        packed.add(ROOT / "conf", "conf")
    loader = ProjectConfigLoader(
        str(tmp_path / "conf.tar.gz"), env="tset", base_env="base", default_run_env="local"
    )
    with pytest.raises(BadInput, match=r"unknown environment 'tset'; the nearest is 'test'; expec"):
        require_environment(loader)
    loader.env = "test"
    require_environment(loader)
    loader.env = "ablations/ema"
    require_environment(loader)
