"""docs/bad-input.md shows the lines that users see."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.bad_input.cases import CASES
from tests.bad_input.lines import BEGIN, END, PAGE, Line, replaced, tables
from tests.forks import ROOT


@pytest.mark.slow
def test_every_kind_of_bad_input_ends_with_one_line_and_the_page_shows_it():
    words = [sys.executable, "-m", "tests.bad_input"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, done.stdout.removesuffix("\n")) == page, (
        "python -m tests.bad_input --write"
    )


@pytest.mark.parametrize("section", CASES)
def test_the_page_has_every_kind(section):
    shown = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert [what for what in CASES[section] if f"| {what} | `Error: " not in shown] == []


@pytest.mark.parametrize(
    ("status", "errors", "good"),
    [(1, ["Error: a"], True), (2, ["Error: a"], True), (0, [], False), (1, [], False),
     (1, ["Error: a", "Error: b"], False), (-6, ["Error: a"], False)],
)  # fmt: skip
def test_one_line_and_an_exit_code(status, errors, good):
    assert Line("s", "w", status, errors).is_one_line == good


def test_the_tables_take_their_place_on_the_page():
    made = tables([Line("The files", "no | rows", 1, ["Error: a|b"])])
    assert made.endswith("| no | rows | `Error: a\\|b` | 1 |\n")
    page = replaced(f"before\n{BEGIN}old\n{END}after\n", made)
    assert page == f"before\n{BEGIN}\n{made}\n{END}after\n"
