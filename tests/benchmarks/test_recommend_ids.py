"""The benchmark of IDs on a small shop, and its correlations."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.recommend_ids_page import FEWEST, correlation
from scipy.stats import spearmanr

from benchmarks import recommend_ids
from tests.benchmarks.shop import write_shop
from tests.benchmarks.test_recommend import SMALL

ONLY = ["rq_kmeans 256×256×256", "suffix", "none", "beam 1", "whiten 1", "shuffled"]


@pytest.mark.slow
def test_figures_and_metrics_of_each_kind_of_ids_and_the_page(tmp_path, capsys):
    shop = write_shop(tmp_path)
    words = ["--work", tmp_path / "work", "--data", shop, "--page-file", tmp_path / "page.md"]
    words += ["--sizes", 8, 16, "--epochs", 1, "--seeds", 1, "--fit", "rq_kmeans.anneal_rounds=2"]
    words += ["--only", *ONLY, *(word for one in SMALL[:4] for word in ("--set", one))]
    recommend_ids.main([str(word) for word in words])
    rows = [json.loads(row) for row in (tmp_path / "work/recommend-ids.jsonl").open()]
    found = {row["key"]["name"]: row for row in rows}
    assert list(found) == ONLY
    for row in rows:
        assert {"valid", "test", "metrics", "training"} <= set(row)
    assert len(found["suffix"]["sizes"]) == 3 and found["none"]["sizes"] == [8, 16]
    real, dealt = (found[name]["metrics"] for name in (ONLY[0], "shuffled"))
    assert dealt["hierarchy.cohesion.1"] < real["hierarchy.cohesion.1"]
    assert dealt["reconstruction.relative_mse_unique"] > real["reconstruction.relative_mse_unique"]
    page = (tmp_path / "page.md").read_text()
    assert "`neighbours.recall_at_10`" in page and f"| {FEWEST} |" in page, "without the control"
    assert "A trial" in page
    capsys.readouterr()
    recommend_ids.main([str(word) for word in words])
    assert "…" not in capsys.readouterr().out, "nothing is measured twice"


def test_candidates_are_many_and_each_is_another():
    from benchmarks.recommend_data import fit_options

    made = [
        json.dumps([fit_options(one.tokenizer, one.identify).to_dict(), one.control])
        for one in recommend_ids.CANDIDATES
    ]
    assert len(set(made)) == len(made) >= 14
    assert {len(fit_options(one.tokenizer).codebook_sizes) for one in recommend_ids.CANDIDATES} == {
        2, 3, 4,
    }  # fmt: skip


def test_a_correlation_is_that_of_scipy_and_chance_is_told_from_it():
    rng = np.random.default_rng(3)
    x = rng.integers(0, 6, 16).astype(float)
    y = x + 3 * rng.standard_normal(16)
    found, truth = correlation(x, y), spearmanr(x, y)
    assert found.rho == pytest.approx(truth.statistic)
    assert found.chance == pytest.approx(truth.pvalue, abs=0.03)
    assert found.low < found.rho < found.high and found.count == 16
    sure = correlation(np.arange(12.0), np.arange(12.0) ** 3)
    assert sure.rho == pytest.approx(1) and sure.low > 0.99 and sure.chance < 0.001
    assert correlation(np.ones(5), np.arange(5.0)) is None
