"""A killed run leaves whole artifacts, and the next one the bytes of one that was not killed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.forks import ROOT
from tests.kills.__main__ import table
from tests.kills.runs import Kill, mixed

KILLS = 20
OLD = {"06_models/tokenizer/a": "1", "06_models/tokenizer/b": "2", "split": "3"}
NEW = {"06_models/tokenizer/a": "4", "06_models/tokenizer/b": "5", "split": "6"}


@pytest.mark.slow
def test_whenever_a_run_is_killed_artifacts_are_whole_and_the_next_run_is_as_if_it_had_not_been():
    """`make kill-test` does the same 200 times."""
    words = [sys.executable, "-m", "tests.kills", "--count", str(KILLS), "--seed", "0"]
    done = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert list(map(int, re.findall(r"\d+", last))) == [KILLS, 0]


@pytest.mark.parametrize(
    ("left", "wrong"),
    [
        (OLD, []),
        (NEW, []),
        ({**OLD, "split": "6"}, []),
        ({}, []),
        ({"split": "7"}, ["split is of neither run"]),
        ({**OLD, "06_models/tokenizer/a": "4"}, ["06_models/tokenizer is a mixture"]),
        ({"06_models/tokenizer/a": "1"}, ["06_models/tokenizer is a mixture"]),
        ({**OLD, "06_models/.tokenizer.tmp-1/a": "half"}, []),
    ],
)
def test_what_a_killed_run_may_leave(left, wrong):
    assert mixed(left, OLD, NEW) == wrong


def test_kills_are_counted_by_stage():
    found = [Kill("rq_kmeans", 1.0, "train", []), Kill("rq_vae", 2.0, "train", ["x is …"])]
    assert table(found).splitlines()[2:] == ["| train | 2 | 1 |", "| all | 2 | 1 |"]
