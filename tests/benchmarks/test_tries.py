"""The benchmark of tries, with few IDs."""

from __future__ import annotations

import numpy as np

from benchmarks import tries


def test_ids_are_distinct_and_in_no_order():
    codes = tries.drawn(500, (16, 16, 16))
    assert codes.shape == (500, 3) and len(np.unique(codes, axis=0)) == 500
    assert (np.diff(codes[:, 0]) < 0).any() and codes.max() < 16


def test_it_prints_a_table_of_all_that_was_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(tries, "LOOKUPS", 20)
    tries.main(["--items", "300", "400", "--dict", "300", "--sizes", "16x16x16"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("16x16x16, commit ")
    assert lines[2] == "| | trie, 300 | trie, 400 | dict, 300 |"
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in lines[4:]}
    assert float(cells["on disk, MB"][0]) > 0.0003 and cells["on disk, MB"][2].strip(" |") == ""
    assert {float(cell.strip(" |")) >= 0 for cell in cells["build, s"]} == {True}
    assert "what may follow 160 beams, at once, ms" in cells
