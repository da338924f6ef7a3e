"""The one command for a bare GPU machine, run on the CPU where nothing else is installed."""

from __future__ import annotations

import numpy as np
from benchmarks.gpu import table
from benchmarks.gpu_checks import CHECKS, Checked, checks

from benchmarks import gpu_checks
from tests.benchmarks.test_encoding import ran_bare
from tests.conftest import clustered

WORDS = "--items=1200 --dim=12 --sizes=6x4x5 --hidden=16 --latent=5 --batch=300 --epochs=2"


def test_it_checks_and_measures_everything_with_torch_alone(tmp_path, root):
    words = [*WORDS.split(), "--repeats=1", "--device=cpu", "--processes=2"]
    ran, found = ran_bare("gpu.py", words, root, tmp_path)
    rows = found["rows"]
    passed = [row for row in rows if "passed" in row]
    assert [row["what"] for row in passed] == [what for what, _, _ in CHECKS]
    assert all(row["passed"] for row in passed) and "FAILED" not in ran.stdout
    names = [row["what"] for row in rows if "passed" not in row]
    assert {"fit", "encode float16, beam 5", "plain loop with a DataLoader"} <= set(names)
    assert names[-1] == "the same network, 2 processes"
    assert all(row["what"] in ran.stdout for row in rows)


def test_what_is_wrong_is_found_and_the_other_checks_go_on(monkeypatch):
    x = clustered(400, 6, seed=1)
    encode, calls = gpu_checks.ResidualTokenizer.encode, [0]

    def wrong(self, vectors, progress=None):
        """Every other call gives other codes, as a device that is not exact would."""
        calls[0] += 1
        return encode(self, vectors, progress) ^ (calls[0] % 2)

    def broken(kind, x, device):
        raise ValueError("no such card")

    monkeypatch.setattr(gpu_checks.ResidualTokenizer, "encode", wrong)
    monkeypatch.setattr(gpu_checks, "SIZES", (4, 4))
    few = (
        ("broken", "rq_kmeans", broken),
        ("codes", "rq_kmeans", gpu_checks.parity),
        ("rows", "rq_kmeans", gpu_checks.whole_rows),
    )
    monkeypatch.setattr(gpu_checks, "CHECKS", few)
    found = list(checks(np.ascontiguousarray(x), "cpu"))
    assert [row.passed for row in found] == [False, False, True]
    assert found[0].found == "ValueError: no such card" and "0.000%" in found[1].found


def test_the_table_says_which_check_has_failed():
    text = table([Checked("codes", False, "half of them", 1.0)])
    assert text.splitlines()[0].split() == ["FAILED", "codes", "1.0", "s", "half", "of", "them"]
