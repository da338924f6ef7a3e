"""A wheel runs outside every project, with the configuration that it carries."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.probe import ROOT, Project

from semantic_ids.app import packaged
from semantic_ids.app.config_loader import ProjectConfigLoader
from semantic_ids.app.packaged import packaged_configuration
from semantic_ids.cli import cli

PYPROJECT = '[tool.kedro]\npackage_name = "p"\nproject_name = "p"\nkedro_init_version = "1.7.0"\n'


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return the folder of the package, installed below another project, beside an empty folder.

    The working directory is the empty one.
    """
    other = tmp_path / "other"
    package = other / ".venv/lib/site-packages/semantic_ids"
    package.mkdir(parents=True)
    (other / "pyproject.toml").write_text(PYPROJECT)
    monkeypatch.setattr(packaged, "PACKAGE", package)
    (tmp_path / "empty").mkdir()
    with Project(package).entered():
        monkeypatch.chdir(tmp_path / "empty")
        yield package


def below(folder: Path) -> set[Path]:
    return {file for file in folder.rglob("*") if file.is_file()}


def test_a_run_in_an_empty_folder_writes_below_it(installed, tmp_path):
    before = below(tmp_path / "other")
    result = CliRunner().invoke(cli, ["run", "--env=test", "--params=embeddings=x.parquet"])
    assert result.exit_code == 0, result.output
    assert below(tmp_path / "other") == before
    assert (tmp_path / "empty/data/08_reporting/metrics.json").is_file()
    assert list((tmp_path / "empty/logs").glob("*_x_*.log"))


def test_an_unknown_environment_is_refused_as_in_a_project(installed):
    result = CliRunner().invoke(cli, ["run", "--env=tset"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert f"{installed}/conf: unknown environment 'tset'; the nearest is 'test'" in result.stderr


def test_the_root_is_the_working_directory_and_not_the_project_it_is_installed_in(
    installed, tmp_path
):
    (installed / "conf/base/catalog.yml").write_text("items: {root: '${project_root:}'}\n")
    loader = ProjectConfigLoader(
        str(installed / "conf"), base_env="base", default_run_env="base", env="test"
    )
    assert loader["catalog"]["items"]["root"] == str(tmp_path / "empty")


def test_configuration_of_ones_own_is_taken(installed, tmp_path):
    assert packaged_configuration(tmp_path / "empty") == installed / "conf"
    assert packaged_configuration(tmp_path / "other") is None
    (tmp_path / "empty/conf/base").mkdir(parents=True)
    assert packaged_configuration(tmp_path / "empty") is None


def test_an_installation_that_is_edited_in_place_says_what_it_needs(tmp_path, monkeypatch):
    with Project(tmp_path / "project").entered():
        (tmp_path / "empty").mkdir()
        monkeypatch.chdir(tmp_path / "empty")
        result = CliRunner().invoke(cli, ["run"])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
    assert f"there is no configuration in {tmp_path}/empty/conf; run inside" in result.stderr


def test_a_build_carries_the_configuration_and_nothing_of_conf_local(tmp_path):
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "conf/local/credentials.yml").write_text("key: secret")
    (tmp_path / "src/semantic_ids").mkdir(parents=True)
    shutil.copy(ROOT / "src/semantic_ids/__init__.py", tmp_path / "src/semantic_ids")
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", "built"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    carried = tmp_path / "built/semantic_ids/conf"
    found = {file.relative_to(carried) for file in below(carried)}
    local = {file for file in below(ROOT / "conf") if file.parent.name == "local"}
    kept = below(ROOT / "conf") - local | {ROOT / "conf/local/.gitkeep"}
    assert found == {file.relative_to(ROOT / "conf") for file in kept}


def test_a_command_says_nothing_but_its_own_in_an_empty_folder(tmp_path):
    """Neither Kedro's choice of logging, nor labels that nobody asked for."""
    code = (
        "import sys; from pathlib import Path; from semantic_ids.app import packaged\n"
        "packaged.PACKAGE = Path(sys.argv[1]); from semantic_ids.__main__ import main\n"
        "main(['run', '--params=tracking.enabled=false'])"
    )
    words = [sys.executable, "-c", code, str(ROOT)]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f"Error: {tmp_path}/data/01_raw/item_emb.parquet: there is no such file")
    assert "--params=embeddings=PATH" in last
