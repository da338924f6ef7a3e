"""Mutated files, mutated configuration and random command lines: read or refused, nothing else."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from tests.forks import ROOT
from tests.fuzz.__main__ import table
from tests.fuzz.runs import Outcome, judge

TRACEBACK = "Traceback (most recent call last):\n  File …\nKeyError: 'x'\n"


@pytest.mark.slow
def test_whatever_is_given_is_read_or_refused():
    """`make fuzz` does the same for an hour."""
    words = [sys.executable, "-m", "tests.fuzz", "--rounds", "14", "--seed", "0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tried, read, refused = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
    assert tried == 14 * 5 == read + refused and read and refused


@pytest.mark.parametrize(
    ("status", "text", "rows", "written", "result"),
    [
        (0, "", 120, 120, "read"),
        (0, "", 120, 119, "rows lost"),
        (0, "", 120, None, "rows lost"),
        (0, "", None, None, "read"),
        (1, "Error: items.parquet: no rows.\n", 120, None, "refused"),
        (2, "Usage: …\nError: no such option\n", None, None, "refused"),
        (1, "KeyError: 'x'\n", 120, None, "no message"),
        (1, TRACEBACK, 120, None, "traceback"),
        (0, TRACEBACK, 120, 120, "traceback"),
        (-signal.SIGABRT, "", 120, None, "abort"),
        (-signal.SIGALRM, "", 120, None, "too slow"),
        (3, "Error: what?\n", 120, None, "exit code 3"),
    ],
)
def test_what_came_of_a_run(status, text, rows, written, result):
    assert judge(status, text, rows, written) == result


def test_outcomes_are_counted_by_what_was_tried():
    found = [
        Outcome("files damaged", kind, "0", [], result, "")
        for kind, result in [("cut off", "refused"), ("cut off", "abort"), ("rubbish", "refused")]
    ]
    assert [outcome.is_defect for outcome in found] == [False, True, False]
    assert table(found).splitlines() == [
        "| what was tried | times | abort | refused |",
        "| --- | --- | --- | --- |",
        "| cut off | 2 | 1 | 1 |",
        "| rubbish | 1 | 0 | 1 |",
        "| all | 3 | 1 | 2 |",
    ]
