"""A plain T5 beside ours on a small shop: the same sizes, the same tokens, IDs of items alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks.recommend import default_ids
from benchmarks.recommend_data import read

from benchmarks import recommend_t5
from tests.benchmarks.shop import write_shop
from tests.benchmarks.test_recommend import SMALL

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.slow
def test_rounds_and_the_page(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(recommend_t5, "BEAMS", (10,))
    words = ["--work", tmp_path, "--data", shop, "--page-file", tmp_path / "page.md"]
    words += ["--sizes", 8, 16, "--rounds", 1, "--targets", 64, "--asked", 20]
    words += [word for one in SMALL for word in ("--set", one)]
    recommend_t5.main([str(word) for word in words])
    rows = {
        row["key"]["system"]: row
        for row in map(json.loads, (tmp_path / "recommend-t5.jsonl").open())
    }
    assert list(rows) == ["t5", "tiger", "item_level"]
    assert rows["t5"]["valid"] == 1, "T5 wrote IDs of items alone"
    assert all(row["epoch_cpu"] > 0 and row["users"]["10"] > 0 for row in rows.values())
    page = (tmp_path / "page.md").read_text()
    ratio = rows["t5"]["epoch_cpu"] / rows["tiger"]["epoch_cpu"]
    assert f"| {ratio:.2f} |" in page and "100.0% were IDs of items" in page


def test_what_t5_reads_is_the_history_and_its_sizes_are_those_of_tiger(shop, tmp_path):
    data = read(shop, tmp_path)
    ids = default_ids(data, tmp_path, (8, 16))
    tokens = recommend_t5.tokens_of(ids)
    np.testing.assert_array_equal(tokens - 4 - np.array([0, 8]), ids.codes)
    positions = data.histories.targets("test")[:7]
    inputs, mask = recommend_t5.inputs_of(data, tokens, positions)
    for row, there, position in zip(inputs.numpy(), mask.numpy(), positions, strict=True):
        first = data.histories.starts[data.histories.user_of(position)]
        whole = tokens[data.histories.items[first:position]].ravel()
        np.testing.assert_array_equal(row[there > 0], whole)
    bench = recommend_t5.Bench(data, ids, {}, 8, 8, 0)
    config = recommend_t5.t5_network(bench).config
    of = bench.options("tiger").tiger
    assert (config.d_model, config.num_layers, config.num_heads, config.d_kv, config.d_ff) == (
        of.dim, of.layers, of.heads, of.head_dim, of.feed_forward,
    )  # fmt: skip
