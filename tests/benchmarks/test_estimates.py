"""Estimates held against what a log says."""

from __future__ import annotations

import json

import pytest
from benchmarks.estimates import NONE, main, measured, row

PLACES = {
    "estimate: about 1 min": "semantic_ids.pipelines.train.cost",
    "rq_kmeans fitted on 2,000 items in 0.3 s": "semantic_ids.pipelines.train.nodes",
}
MESSAGES = [
    ("23:59:01,000", "split: 0.1 s"),
    ("23:59:02,000", "train …"),
    ("23:59:10,000", "estimate: about 1 min"),
    ("00:00:20,000", "rq_kmeans fitted on 2,000 items in 0.3 s"),
    ("00:00:22,000", "train: 80.0 s"),
    ("00:00:42,500", "encode: 20.5 s"),
    ("00:01:00,000", "deduplicate: 17.4 s"),
    ("00:01:00,000", "export: 3.0 s"),
    ("00:01:40,000", "evaluate: 39.0 s"),
]
FOUND = {"train": 72.0, "encode": 20.5, "deduplicate": 17.4, "evaluate": 39.0}
TIME = "\tMaximum resident set size (kbytes): 1700000\n"
RESULTS = {
    "items": 1_000_000,
    "dimensions": 768,
    "estimate": {
        "seconds": {"train": 38.2, "encode": 19.0, "deduplicate": 17.2, "evaluate": 0.44},
        "total_seconds": 74.84,
        "peak_bytes": 1_800_000_000,
    },
}


def on_the_terminal(messages):
    return "".join(f"{at[:8]} INFO    {message}\n" for at, message in messages)


def in_the_file(messages):
    days = {"23": "2026-11-21", "00": "2026-11-22"}
    return "".join(
        f"{days[at[:2]]} {at} INFO    {PLACES.get(text, 'semantic_ids.app.hooks.stages')}: {text}\n"
        for at, text in messages
    )


@pytest.mark.parametrize("written", [on_the_terminal, in_the_file])
def test_a_log_is_read_over_midnight(written):
    """Training counts from the estimate on; `split` and `export` are no stages of it."""
    found = measured(written(MESSAGES))
    assert found == pytest.approx({**FOUND, "encode": 20.5}) and "peak" not in found


def test_the_words_of_time_are_read():
    assert measured(on_the_terminal(MESSAGES) + TIME)["peak"] == 1_700_000 * 1024


def test_the_last_run_counts():
    later = [("00:10:00,000", "estimate: about 1 min"), ("00:10:07,000", "train: 8.0 s")]
    assert measured(in_the_file(MESSAGES + later)) == {**FOUND, "train": 7.0}
    assert measured("nothing of it\n") == {}


def test_a_row_has_estimates_and_measurements_side_by_side():
    whole = row("even", RESULTS, {**FOUND, "peak": 1.74e9})
    assert (
        whole
        == "| even, 1,000,000 × 768 | 38 / 72 | 19 / 20 | 17 / 17 | 0.4 / 39 | 75 / 149 | 1.8 /"
        " 1.7 |"
    )


def test_what_was_not_measured_is_a_dash():
    part = row("even", RESULTS, {"train": 72.0})
    assert (
        part
        == f"| even, 1,000,000 × 768 | 38 / 72 | 19 / {NONE} | 17 / {NONE} | 0.4 / {NONE} | 75 /"
        f" {NONE} | 1.8 / {NONE} |"
    )


def test_the_table_has_a_row_for_each_pair(tmp_path, capsys):
    folder = tmp_path / "even/08_reporting"
    folder.mkdir(parents=True)
    (folder / "training_results.json").write_text(json.dumps(RESULTS))
    (tmp_path / "log").write_text(on_the_terminal(MESSAGES) + TIME)
    main([str(tmp_path / "even"), str(tmp_path / "log")])
    head, rule, line = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") and line.startswith("| even, ")
    with pytest.raises(SystemExit, match="any number of pairs"):
        main(["one"])
