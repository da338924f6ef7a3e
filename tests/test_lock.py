"""`requirements.lock` pins one version of everything that `pyproject.toml` asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {
    canonicalize_name(requirement.name): requirement
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}
EXTRAS = {
    extra: [Requirement(text) for text in texts]
    for extra, texts in PROJECT["optional-dependencies"].items()
}
ASKED = [Requirement(text) for text in PROJECT["dependencies"]] + [
    requirement
    for extra, requirements in EXTRAS.items()
    if extra != "gpu"
    for requirement in requirements
    if requirement.name != "semantic-ids"
]


def version(name: str) -> Version:
    (specifier,) = PINS[canonicalize_name(name)].specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


@pytest.mark.parametrize("requirement", ASKED, ids=str)
def test_every_requirement_is_pinned_within_its_range(requirement):
    assert version(requirement.name) in requirement.specifier


def test_pins_serve_every_machine():
    assert len(PINS) > len(ASKED)
    assert all(version(name).local is None and PINS[name].url is None for name in PINS)
    assert not {"semantic-ids", "pip"} & set(PINS)


def test_torch_is_one_version_everywhere():
    assert str(version("torch")) == "2.13.0"
    assert re.search(
        r"^TORCH := torch==2\.13\.0$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE
    )
    assert 'TORCH = "torch==2.13.0"' in (ROOT / "scripts/lock.py").read_text()


def whole(extra: str) -> set[str]:
    """An extra, and those that it asks for in turn."""
    inner = {name for r in EXTRAS[extra] if r.name == "semantic-ids" for name in r.extras}
    return {extra}.union(*map(whole, inner))


def test_the_lock_is_of_every_extra_but_one():
    resolved = re.search(r'^EXTRAS = "(.*)"$', (ROOT / "scripts/lock.py").read_text(), re.MULTILINE)
    assert set().union(*map(whole, resolved[1].split(","))) == set(EXTRAS) - {"gpu"}
    assert whole("all") >= {"pipeline", "parquet", "faiss", "hf", "onnx", "tune"}


@pytest.mark.parametrize("extra", ["all", "dev", "docs", "jupyter", "bench"])
def test_what_is_for_work_on_the_project_has_the_pipelines(extra):
    assert "pipeline" in whole(extra)
    assert '--editable ".[pipeline]"' in (ROOT / "Makefile").read_text()
