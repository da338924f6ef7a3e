"""The two engines side by side, on a small file."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from benchmarks.systems import PlainFaiss

from benchmarks import engines
from tests.conftest import clustered


def test_it_prints_a_table_with_both_engines(tmp_path, capsys):
    vectors = clustered(400, 8)
    pq.write_table(pa.table({"embedding": vectors.tolist()}), tmp_path / "x.parquet")
    np.testing.assert_allclose(engines.vectors_of(tmp_path / "x.parquet"), vectors)
    engines.main([str(tmp_path / "x.parquet"), "--seeds=1", "--sizes=24x24"])
    lines = capsys.readouterr().out.splitlines()
    assert "400 × 8, 1 seeds" in lines[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line][2:]
    assert [row[0] for row in rows] == list(engines.FITS)
    errors = {row[0]: [float(cell) for cell in row[5:]] for row in rows}
    assert all(0 < e < 1 for found in errors.values() for e in found)
    assert all(abs(a / b - 1) < 0.1 for a, b in errors.values())
    assert all(re.fullmatch(r"\d+\.\d\d", cell) for row in rows for cell in row[1:5])


def test_the_plain_system_is_the_environment_faiss(root):
    values = yaml.safe_load((root / "conf/faiss/parameters_tokenizer.yml").read_text())
    assert values["tokenizer"]["rq_kmeans"] == PlainFaiss.without
