"""The core speaks to Python as well: words of the command line belong to the doors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/semantic_ids"
DOORS = {"app", "cli.py", "__main__.py", "settings.py", "parameters.py", "pipeline_registry.py"}
CORE = sorted(
    file.relative_to(SOURCE).as_posix()
    for file in SOURCE.rglob("*.py")
    if file.relative_to(SOURCE).parts[0] not in DOORS
)


@pytest.mark.parametrize("file", CORE)
def test_the_core_names_options_and_no_flags(file):
    """`tokenizer.device=cpu`; the door of the command line writes `--params=` before it."""
    text = (SOURCE / file).read_text()
    assert [word for word in ("--params", "--env", "--pipeline", "kedro run") if word in text] == []


@pytest.mark.parametrize("file", [file for file in CORE if not file.startswith("pipelines/")])
def test_the_core_names_artifacts_and_no_pipeline_to_run(file):
    """`remake="tokenizer"`; the door names the pipeline that makes it."""
    text = (SOURCE / file).read_text()
    assert re.findall(r"(?:pipeline|stage|run) '", text) == []
