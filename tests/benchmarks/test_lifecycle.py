"""The ways to publish, side by side, on a small catalogue."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import lifecycle
from tests.conftest import clustered


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Vectors around 20 points and, as a kind of their own, around 4 others."""
    folder = tmp_path_factory.mktemp("lifecycle")
    x = np.concatenate([clustered(500, 8, seed=1), clustered(100, 8, seed=2, clusters=4) + 4])
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 8)
    ids = pa.array(np.arange(600) + 7000)
    pq.write_table(pa.table({"ItemID": ids, "embedding": column}), folder / "x.parquet")
    kinds = ["old"] * 500 + ["late"] * 100
    pq.write_table(pa.table({"ItemID": ids, "kind": kinds}), folder / "items.parquet")
    return folder


def table(words, capsys):
    lifecycle.main([*map(str, words), "--sizes=8x8x16"])
    head, *lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[0] == "|"]
    return head, {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


@pytest.mark.parametrize("late", [False, True])
def test_what_each_way_changes_and_costs(files, capsys, late):
    words = [files / "x.parquet"]
    words += ["--items", files / "items.parquet", "--late", "kind=late"] if late else []
    head, rows = table(words, capsys)
    published, new, coming = (int(word) for word in head.split() if word.isdecimal())
    assert published + new + coming == 600 and (published == 500) == late
    for name in ("append", "warm"):
        assert rows[name]["same prefix"] == "1 / 1 / 1" and rows[name]["moved"] == "0.0%"
    for name in ("append", "warm", "refit"):
        assert rows[name]["reissued"] == "0"
    assert {value for name, value in rows["append"].items() if name.startswith("error")} == {
        "1.0000"
    }
    raw, refit = (
        float(rows[name]["same code"].split(" / ")[0]) for name in ("refit, raw", "refit, free")
    )
    assert refit > raw and rows["refit, raw"]["error, all"] == rows["refit, free"]["error, all"]
    assert float(rows["refit"]["error, all"]) >= float(rows["refit, free"]["error, all"])
    if late:
        assert float(rows["warm"]["to come"]) < 0.9 and float(rows["refit"]["to come"]) < 0.9
