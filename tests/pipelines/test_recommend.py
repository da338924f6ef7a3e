"""The pipeline `recommend`: on the sample's histories, after `tokenize`."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from semantic_ids import load_recommender
from semantic_ids.errors import BadInput

pytestmark = pytest.mark.slow

FIGURES = ("recall", "slices", "beams", "training")


@pytest.fixture
def recommended(run, tmp_path):
    run("tokenize", "recommend")
    return tmp_path / "data"


def cause(error):
    """Return the line for the user, within what Kedro wraps around it."""
    while error is not None and not isinstance(error, BadInput):
        error = error.__cause__ or error.__context__
    return str(error)


def test_a_run_writes_what_the_page_says(recommended, run):
    metrics = json.loads((recommended / "08_reporting/recommend_metrics.json").read_text())
    assert 0 <= metrics["recommend.recall_at_10.low"] <= metrics["recommend.recall_at_10"]
    for system in ("popularity", "next", "cooccurrence", "neighbours", "sasrec"):
        assert metrics[f"recommend.baseline.{system}.targets"] == metrics["recommend.targets"]
    assert "recommend.control.shuffled.difference.ndcg_at_10" in metrics
    assert "recommend.unseen.recall_at_50" in metrics
    made = json.loads((recommended / "06_models/recommender/manifest.json").read_text())
    assert metrics["provenance.recommender"] == made["fingerprint"]
    for name in FIGURES:
        assert (recommended / f"08_reporting/recommend_{name}.png").stat().st_size > 10_000

    table = pq.read_table(recommended / "07_model_output/recommendations.parquet")
    ids = pq.read_table(recommended / "07_model_output/semantic_ids.parquet")["item_id"].to_pylist()
    lists = table["item_ids"].to_pylist()
    assert len(table) == metrics["recommend.users"] and {len(one) for one in lists} == {10}
    assert {item for one in lists for item in one} <= set(ids)
    training = pq.read_table(recommended / "08_reporting/recommend_training.parquet")
    assert training["step"].to_pylist() == [1, 2]

    again = (recommended / "07_model_output/recommendations.parquet").read_bytes()
    run("recommend", node_names=["recommend"])
    assert (recommended / "07_model_output/recommendations.parquet").read_bytes() == again
    _asked_alone(recommended, table)
    _other_ids_are_refused(recommended, run)


def _asked_alone(recommended, table):
    """What the run recommends is what the folder says where it is asked by the same histories."""
    from tests.conftest import ROOT

    given = pq.read_table(ROOT / "data/01_raw/sequences.parquet").to_pandas()
    histories = dict(zip(given["user"].astype(str), given["sequence"], strict=True))
    frame = table.to_pandas().head(20)
    recommender = load_recommender(recommended / "06_models/recommender", "cpu")
    asked = pd.Series([histories[str(user)] for user in frame["user"]])
    found = recommender.recommend(asked, k=10)
    for ours, theirs in zip(found.item_ids, frame["item_ids"], strict=True):
        assert ours.tolist() == theirs.tolist()


def _other_ids_are_refused(recommended, run):
    """IDs of another seed: the recommender is not asked about them."""
    params = {"tokenizer.seed": 7}
    run("train", "identify", params=params)
    with pytest.raises(Exception) as caught:
        run("recommend", node_names=["judge"])
    assert "'recommender' was made from semantic_ids" in cause(caught.value)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"recommender.decoding.beam": 20}, "a beam of 20 for lists of 50 items"),
        ({"judge.baselines": ["popular"]}, "judge.baselines: 'popular'; the nearest is"),
        ({"judge.ks": [5, 1]}, "judge.ks: .* ascending"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_any_work(run, tmp_path, params, said):
    with pytest.raises(Exception) as caught:
        run("tokenize", "recommend", params=params)
    assert pytest.importorskip("re").search(said, cause(caught.value))
    assert not (tmp_path / "data").exists()


def test_ids_that_are_not_there_are_missed_before_any_work(run):
    with pytest.raises(Exception) as caught:
        run("recommend")
    assert "there is no such artifact yet" in cause(caught.value)


def test_ids_are_compared_in_a_run(run, tmp_path):
    run("compare_ids")
    found = json.loads((tmp_path / "data/08_reporting/compared_ids.json").read_text())
    assert [row["ids"] for row in found["ids"]] == ["none", "shuffled"]
    assert found["ids"][0]["unique_rate"] == found["ids"][1]["unique_rate"] < 1
    table = pq.read_table(tmp_path / "data/08_reporting/compared_ids.parquet").to_pylist()
    assert table[1]["recall_at_10.difference"] == found["ids"][1]["recall_at_10.difference"]
    assert not (tmp_path / "data/06_models").exists()
