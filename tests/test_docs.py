"""What the documents say is true: commands, parameters, links and snippets."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from semantic_ids.parameters import RUNTIME_PATHS, Parameters
from semantic_ids.pipeline_registry import PIPELINES

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data/01_raw/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
KEDRO_COMMANDS = {
    ("run",),
    ("viz", "run"),
    ("mlflow", "ui"),
    ("jupyter", "lab"),
    ("jupyter", "notebook"),
    ("registry", "list"),
    ("package",),
}
MADE_BY_THE_READER = {"catalogue_b"}  # docs/environments.md shows how


def table_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "parameters_table", ROOT / "scripts/parameters_table.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def commands(tool: str) -> list[Any]:
    """Every command line of a tool, in shell blocks and in the running text, as test parameters.

    Page, line.
    """
    found = []
    for page in PAGES:
        text = page.read_text()
        lines = [
            line for block in blocks(page, "bash") for line in block.splitlines()
        ] + re.findall(r"`([^`\n]+)`", text)
        lines = [line.split("# ")[0].strip() for line in lines]
        found += [
            pytest.param(line, id=f"{page.name}: {line}")
            for line in dict.fromkeys(lines)
            if re.match(rf"{tool}( |$)", line)
        ]
    return found


def makefile_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def overridden(pairs: list[str]) -> dict[str, Any]:
    """Lay dotted `key=value` pairs over the values of `conf/base`."""
    values = table_script().base_values()
    for key, value in (pair.split("=", 1) for pair in pairs):
        if key in RUNTIME_PATHS:
            continue
        *groups, name = key.split(".")
        group = values
        for part in groups:
            group = group[part]
        assert name in group, f"{key} is no parameter"
        group[name] = value
    return values


@pytest.mark.parametrize("line", commands("make"))
def test_make_lines_name_targets(line):
    words = [word for word in shlex.split(line)[1:] if "=" not in word]
    assert set(words) <= makefile_targets()


def test_every_target_has_a_description_and_a_recipe():
    named = set(
        re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)[
            1
        ].split()
    )
    assert named == makefile_targets()
    expected = (
        "help install run test lint fuzz kill-test audit bench wheel docs docs-serve viz mlflow lab"
        " notebook lock clean clean-all"
    )
    assert named == set(expected.split())


@pytest.mark.parametrize("line", commands("kedro"))
def test_kedro_lines_name_pipelines_environments_and_parameters(line):
    words = shlex.split(line)[1:]
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    assert tuple(word for word in words if not word.startswith("--")) in KEDRO_COMMANDS
    assert set(options) <= {"pipeline", "pipelines", "env", "params"}
    pipelines = f"{options.get('pipeline', '')},{options.get('pipelines', '')}".split(",")
    assert set(pipelines) - {""} <= set(PIPELINES)
    environment = options.get("env", "base")
    assert (ROOT / "conf" / environment).is_dir() or environment in MADE_BY_THE_READER
    pairs = options["params"].split(",") if "params" in options else []
    Parameters.model_validate(overridden(pairs))


@pytest.mark.parametrize("line", commands("pip"))
def test_pip_lines_agree_with_the_project(line):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert {
        extra for found in re.findall(r"\.\[([a-z,]+)\]", line) for extra in found.split(",")
    } <= set(extras)
    assert re.findall(r"torch==\S+", line.replace('"', "")) in (
        [],
        [re.search(r"^TORCH := (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]],
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = [
        target
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())
        if not target.startswith(("http", "#"))
    ]
    missing = [target for target in targets if not (page.parent / target.split("#")[0]).exists()]
    assert not missing


def parameter_names(values: dict[str, Any], prefix: str = "") -> set[str]:
    below = {f"{prefix}{name}": value for name, value in values.items()}
    groups = [
        parameter_names(value, f"{name}.")
        for name, value in below.items()
        if isinstance(value, dict)
    ]
    return {name for name, value in below.items() if not isinstance(value, dict)}.union(*groups)


def test_parameter_table_covers_every_parameter():
    script = table_script()
    rows = re.findall(
        r"^\| `([a-z0-9_.]+)` \| `(.*)` \| (.+) \| (.+) \|$", script.markdown(), flags=re.MULTILINE
    )
    assert {name for name, *_ in rows} == parameter_names(script.base_values())
    assert all(meaning.strip() for *_, meaning in rows)
    assert ("tokenizer.codebook_sizes", "[256, 256, 256]", "list of integer ≥ 1") in [
        row[:3] for row in rows
    ]
    assert script.MARK in (ROOT / "docs/parameters.md").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the documentation, built."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.mark.slow
def test_documentation_builds_and_fetches_nothing(built):
    assert "tokenizer.rq_vae" in (built / "parameters.html").read_text()
    fetched = [
        found
        for page in built.glob("*.html")
        for found in re.findall(r'(?:src|<link[^>]*href)="https?://[^"]*"', page.read_text())
    ]
    assert not fetched


@pytest.fixture
def fitted(tmp_path, monkeypatch) -> Path:
    """A working directory with a small tokenizer where the snippets expect one."""
    from semantic_ids.tokenizers import fit_tokenizer

    folder = tmp_path / "data/06_models/tokenizer"
    vectors = np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32)
    fit_tokenizer(vectors, kind="rq_kmeans", codebook_sizes=[4, 4], device="cpu").save(folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_snippet_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (snippet,) = blocks(ROOT / "README.md", "python")
    names: dict[str, Any] = {}
    exec(compile(snippet, "snippet", "exec"), names)
    assert names["codes"].shape == (3, 3) and names["metrics"]["ids.unique_rate"] == 1


def test_snippets_of_the_python_page_run(fitted):
    whole, sklearn, on_disk, *rest = blocks(ROOT / "docs/python-api.md", "python")
    for snippet, shape in ((whole, (3, 3)), (sklearn, (4096, 3)), (on_disk, (3, 2))):
        names: dict[str, Any] = {}
        exec(compile(snippet, "snippet", "exec"), names)
        assert names["codes"].shape == shape
        if snippet is whole:
            assert names["table"]["semantic_id"].is_unique and len(names["table"]) == 4096
            assert names["metrics"]["ids.unique_rate"] == 1 and names["decoded"].shape == (3, 32)
    assert len(rest) == 2  # they need what a run has written, and a project


@pytest.mark.slow
def test_the_reference_shows_every_public_name(built):
    import semantic_ids

    page = (built / "api.html").read_text()
    assert all(f'id="semantic_ids.{name}"' in page for name in semantic_ids.__all__)
