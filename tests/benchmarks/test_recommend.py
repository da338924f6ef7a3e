"""The benchmark of recommenders on a small shop: resumed, tuned without the test, and its page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.recommend_budget import part_of, train_within
from benchmarks.recommend_data import Results, first_users, grid, missing, read, recommender_options

from benchmarks import recommend
from semantic_ids.recommenders.windows import single_targets
from tests.benchmarks.shop import USERS, write_shop

SMALL = [
    "item_level.dim=8", "item_level.heads=2", "item_level.feed_forward=8",
    "item_level.head_hidden=8", "tiger.dim=8", "tiger.heads=2", "tiger.head_dim=4",
    "tiger.feed_forward=8", "tiger.layers=1", "sasrec.dim=8", "sasrec.feed_forward=8",
    "sasrec.epochs=2", "training.epochs=2", "training.batch_windows=32",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def run(shop, tmp_path, capsys):
    def run(*words):
        given = ["--work", tmp_path, "--data", shop, "--page-file", tmp_path / "page.md"]
        given += ["--sizes", 8, 16, *(word for one in SMALL for word in ("--set", one)), *words]
        recommend.main([str(word) for word in given])
        return capsys.readouterr().out

    run.rows = lambda: [json.loads(row) for row in (tmp_path / "recommend.jsonl").open()]
    run.page = (tmp_path / "page.md").read_text
    run.results = tmp_path / "recommend.jsonl"
    return run


def test_all_systems_and_the_page(run):
    run("--seeds", "2", "--beam-users", "40")
    rows = run.rows()
    assert len(rows) == len(recommend.SYSTEMS) * 2 - len(recommend.BASELINES)
    page = run.page()
    ours = [row["test"]["recall_at_10"] for row in rows if row["key"]["system"] == "ours"]
    shown = next(line for line in page.splitlines() if line.startswith("| **ours**"))
    assert f"{np.mean(ours):.4f}" in shown and "0.0648" in page and "A trial" in page
    tiger = [row["training"] for row in rows if row["key"]["system"] == "tiger"]
    spent = {r["key"]["seed"]: r["training"]["cpu_seconds"] for r in rows
             if r["key"]["system"] == "ours"}  # fmt: skip
    assert [t["budget"] for t in tiger] == [spent[0], spent[1]]
    assert sum("beams" in row for row in rows) == 2
    run("--page")
    assert run.page() == page and len(run.rows()) == len(rows)


def test_a_killed_benchmark_goes_on(run):
    run("--seeds", "1", "--systems", "popularity", "next")
    whole = run.results.read_bytes()
    run.results.write_bytes(whole[:-40])
    out = run("--seeds", "1", "--systems", "popularity", "next")
    assert "passed over half a line" in out
    kept = Results(run.results).rows
    assert [row["key"]["system"] for row in kept] == ["popularity", "next"]
    assert run("--seeds", "1", "--systems", "popularity", "next").count("…") == 0


def test_settings_are_chosen_without_the_test(run, monkeypatch):
    from semantic_ids.recommenders.histories import Histories

    asked = []
    kept = Histories.targets
    monkeypatch.setattr(
        Histories, "targets", lambda self, part: asked.append(part) or kept(self, part)
    )
    monkeypatch.setattr(recommend, "read", _read_before(recommend.read, asked))
    out = run("--tune", "item_level.dropout=0.1|0.5")
    assert out.count("`item_level.dropout=") == 2 and "test" not in asked and "valid" in asked
    assert all("test" not in row for row in run.rows())


def _read_before(read, asked):
    def reading(*given):
        data = read(*given)
        asked.clear()  # reading counts the targets of all parts
        return data

    return reading


def test_the_best_of_a_search_is_what_sasrec_is_run_with(run, monkeypatch):
    search = {"sasrec.dropout": (0.5, 0.1), "sasrec.learning_rate": (0.002, 0.01)}
    monkeypatch.setattr(recommend, "SASREC_SEARCH", search)
    run("--tune-sasrec", "--systems", "sasrec", "--seeds", "1")
    *tried, chosen = run.rows()
    assert len(tried) == 3, "the first of the second option was tried with the first option"
    best = max(tried, key=lambda row: row["valid"]["ndcg_at_10"])["key"]["changes"]
    used = chosen["key"]["options"]["sasrec"]
    assert {f"sasrec.{name}": used[name] for name in ("dropout", "learning_rate")} == best


def test_without_data_it_says_so(tmp_path, capsys):
    recommend.main(["--work", str(tmp_path / "work"), "--data", str(tmp_path)])
    assert "skipped" in capsys.readouterr().out and "test.parquet" in missing(tmp_path)


def test_a_grid_has_all_combinations():
    assert grid("a.b=1|2,c=x") == [{"a.b": 1, "c": "x"}, {"a.b": 2, "c": "x"}]


def test_a_budget_is_kept_and_windows_are_shares_of_all(shop, tmp_path):
    data = read(shop, tmp_path)
    ids = recommend.default_ids(data, tmp_path, (8, 16))
    small = dict(word.split("=") for word in SMALL)
    options = recommender_options(
        {name: int(value) for name, value in small.items()} | {"kind": "tiger", "device": "cpu"}
    )
    windows = single_targets(data.histories, data.length)
    short, report = train_within(data.histories, ids, options, data.length, 1e-6)
    assert report["passes"] * len(windows) == pytest.approx(32), "no less than a batch"
    assert report["epochs"] == 1 and not short.training
    longer = train_within(data.histories, ids, options, data.length, 1.0)[1]
    assert longer["epochs"] > 1 and longer["epochs"] - 1 < longer["passes"] <= longer["epochs"]
    assert 0.2 < longer["steps_cpu_seconds"] < 5 and "validation_ndcg_at_10" in longer
    rows = np.array([1, 5])
    np.testing.assert_array_equal(
        part_of(windows, rows).at(np.arange(2)).inputs, windows.at(rows).inputs
    )


def test_the_first_users_are_whole(shop, tmp_path):
    histories = read(shop, tmp_path).histories
    some = first_users(histories, 10)
    assert len(some) == 10 and len(first_users(histories, 10**6)) == USERS
    np.testing.assert_array_equal(some.targets("test"), histories.targets("test")[:10])
