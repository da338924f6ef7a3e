"""The page is made of the rows alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.machine import Surroundings
from benchmarks.report import GENERATED, NONE, render
from benchmarks.rows import Row
from benchmarks.run import arguments

ROOT = Path(__file__).parents[2]


def row(system, title, ours, unique, **more):
    quality = {
        "relative_mse": 0.4,
        "relative_mse_unique": unique,
        "added_distortion": 0.021,
        "distinct": 0.9,
        "recall": 0.3,
    }
    generalization = {"relative_mse_fitted": 0.3811, "relative_mse_held_out": 0.5}
    cost = {
        "fit_seconds": 1.0,
        "encode_seconds": 0.5,
        "items_per_second": 2000.0,
        "fits": 3,
        "peak_mb": 300.0,
    }
    numbers = {
        "items": 1000,
        "dim": 8,
        "cohesion_1": 0.2,
        "cohesion_2": 0.4,
        **quality,
        **generalization,
        **cost,
    }
    return Row(
        "sample",
        system,
        title,
        ours,
        "1.2",
        {"rounds": 3, "kind": "a | b"},
        "measured",
        **numbers | more,
    )


OURS = row("rq_kmeans", "Ours", True, 0.5, fit_seconds=2.0, encode_seconds=1.0, recall=0.45)
PLAIN = row("faiss_rq", "Plain", False, 0.8, items_per_second=4000.0)
REFINED = row(
    "faiss_rq_refined",
    "Refined",
    False,
    0.625,
    relative_mse_held_out=0.4,
    fit_seconds=5.0,
    encode_seconds=1.0,
)
GONE = Row("sample", "gone", "Gone", False, "", {}, "skipped", "`gone` is not installed")


def about(**more):
    values = {"quick": False, "held_out": True, "missing": {"beauty": "x is not there"}} | more
    return Surroundings("python benchmarks/run.py", (256, 128), 42, 2, time_limit=60, **values)


def cells(text, start):
    return [
        cell.strip()
        for cell in (
            next(line for line in text.splitlines() if line.startswith(start)).strip("|").split("|")
        )
    ]


def test_figures_of_the_rows_are_in_the_table():
    text = render(about(), [OURS, PLAIN, REFINED, GONE])
    assert cells(text, "| Refined | **0")[2:4] == ["0.6250 (+2.1%)", "**0.4000 (0.3811)**"]
    assert cells(text, "| Ours | **0")[2] == "**0.5000 (+2.1%)**"
    assert "1,000 items × 8 dimensions." in text
    assert "- Gone: skipped: `gone` is not installed" in text
    assert (
        "| Codebooks | 256×128 |" in text and "| Left out: Amazon Beauty | x is not there |" in text
    )
    assert "| Gone | not installed |  |" in text and "rounds 3, kind a \\| b" in text


def test_ratios_are_against_the_best_peer():
    line = cells(render(about(), [OURS, PLAIN, REFINED]), "| Ours | 0")
    assert line[1:] == [
        "0.800 (Refined)",
        "1.250 (Refined)",
        "1.500 (Plain)",
        "0.500 (Refined)",
        "0.500 (Plain)",
        "1.000 (Refined)",
    ]


def test_no_ratios_without_both_sides():
    assert "divided by" not in render(about(), [OURS]) + render(about(), [PLAIN])


def test_what_was_not_measured_is_a_dash():
    rows = [
        row("rq_kmeans", "Ours", True, 0.5, relative_mse_held_out=None, relative_mse_fitted=None),
        GONE,
    ]
    text = render(about(held_out=False), rows)
    assert cells(text, "| Ours | **0")[3] == NONE
    assert "fitted a second time: there are no figures" in text


@pytest.mark.parametrize("quick", [False, True])
def test_a_trial_says_so(quick):
    assert ("A trial" in render(about(quick=quick), [OURS])) is quick


def test_tables_are_whole():
    for block in render(about(), [OURS, PLAIN, REFINED]).replace("\\|", "").split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_a_trial_does_not_touch_the_page():
    assert arguments([]).out == ROOT / "docs/benchmarks.md"
    assert arguments(["--quick"]).out != ROOT / "docs/benchmarks.md"
    assert arguments(["--sizes", "8x4"]).sizes == (8, 4) and arguments([]).sizes == (256, 256, 256)


def test_the_page_is_generated():
    assert GENERATED in (ROOT / "docs/benchmarks.md").read_text()
    assert "Not measured yet" in render(None, [])
