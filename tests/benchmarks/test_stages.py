"""Stages, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from benchmarks.stages import ROOT, STAGES, Used, least, measure, nodes_of, table

from benchmarks import stages
from semantic_ids.pipeline_registry import register_pipelines


def test_every_stage_is_a_node_of_the_pipeline_and_every_node_a_stage():
    nodes = {node.name for node in register_pipelines()["tokenize"].nodes}
    assert set(STAGES.values()) == nodes
    assert nodes_of(ROOT) == nodes


def test_a_process_is_charged_for_what_it_used(tmp_path, root):
    """Measured from a small process, as the benchmark is: a child begins as large as its parent."""
    busy = "import time\nx = bytearray(200_000_000)\nwhile time.process_time() < 0.5: pass"
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom benchmarks.stages import measure\n"
        "folder, *codes = sys.argv[1:]\n"
        "found = [measure([sys.executable, '-c', code], Path(folder)) for code in codes]\n"
        "print(json.dumps([[u.cpu, u.wall, u.peak] for u in found]))"
    )
    words = [sys.executable, "-c", script, str(tmp_path), busy, "import time; time.sleep(0.5)"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    used, idle = (Used(*found) for found in json.loads(done.stdout))
    assert used.cpu >= 0.5 > idle.cpu and min(used.wall, idle.wall) >= 0.5
    assert used.peak >= 200_000_000 > idle.peak
    assert used.less(used) == Used(0.0, 0.0, used.peak)


def test_a_process_that_fails_ends_the_measurement(tmp_path):
    with pytest.raises(SystemExit, match="exit code 3"):
        measure([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_the_least_of_all_rounds_is_compared():
    now = least([{"train": Used(3.0, 2.0, 10)}, {"train": Used(2.0, 4.0, 20)}])
    assert now == {"train": Used(2.0, 2.0, 20)}
    lines = table(now, {"train": Used(4.0, 4.0, 5 * 10**9)}).splitlines()
    assert lines[2] == "| train | 2.0 | 2.0 | 0.00 | 4.0 | 0.50 | 5.00 |"
    assert lines[3].startswith("| all | 2.0 |")


def test_a_stage_that_is_new_is_compared_with_nothing():
    now = {"check": Used(1.0, 1.0, 10), "train": Used(3.0, 2.0, 10)}
    lines = table(now, {"train": Used(2.0, 2.0, 10)}).splitlines()
    assert lines[2] == "| check | 1.0 | 1.0 | 0.00 | 0.0 |  | 0.00 |"
    assert lines[4] == "| all | 4.0 | 3.0 | 0.00 | 2.0 | 2.00 | 0.00 |"


def test_two_checkouts_take_turns_at_every_stage(monkeypatch, tmp_path, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    done = []

    def measured(command, checkout):
        done.append((checkout.name, command[-2].rpartition("=")[2]))
        return Used(1.0 if command[-1] == "list" else 3.0, 5.0, 7)

    nodes = {here: {"ingest", "encode"}, there: {"encode"}}
    monkeypatch.setattr(stages, "measure", measured)
    monkeypatch.setattr(stages, "nodes_of", nodes.get)
    found = stages.run_stages([here, there], tmp_path / "x", tmp_path, "", ["ingest", "encode"])
    assert done[2:] == [("here", "ingest"), ("here", "encode"), ("there", "encode")]
    used = Used(2.0, 0.0, 7)
    assert found == [{"ingest": used, "encode": used}, {"encode": used}]
    assert "there: encode, 2.0 CPU seconds" in capsys.readouterr().err
