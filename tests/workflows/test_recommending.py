"""A recommender is trained, asked and judged: on histories whose next item is known."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.recommenders.histories import Histories, catalogue_of, content_of
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.splits import leave_one_out
from semantic_ids.workflows.judging import judge
from semantic_ids.workflows.recommending import (
    asked_with,
    parameters_of,
    recommend_all,
    require_same_items,
    train_recommender,
)

ITEMS, USERS, LENGTH = 40, 300, 6
SIZES = (4, 5, 3)
SMALL = {"dim": 32, "heads": 2, "feed_forward": 32, "head_hidden": 32, "layers": 1, "dropout": 0.0}
TRAINING = {"epochs": 12, "batch_windows": 32, "evaluate_every": 12, "warmup_steps": 5}
OPTIONS = RecommenderOptions.of(
    {
        "device": "cpu",
        "item_level": SMALL,
        "training": {**TRAINING, "learning_rate": 0.01},
        "decoding": {"beam": 40, "k": 5},
    }
)
JUDGE = JudgeOptions.of(
    {
        "ks": (1, 5, 10),
        "beams": (5, 40),
        "baselines": ("popularity",),
        "controls": ("shuffled",),
        "resamples": 50,
    }
)


def some_ids(*, collide: bool = False) -> Codes:
    every = np.stack(np.unravel_index(np.random.default_rng(3).permutation(60)[:ITEMS], SIZES), 1)
    codes = every.astype(np.int32)
    if collide:
        codes[::2] = codes[1::2]
    made = Provenance("semantic_ids", {"tokenizer": "t"}, {}, fingerprint(codes))
    return Codes(pa.array([f"item {i}" for i in range(ITEMS)]), codes, SIZES, 3, made)


def some_histories(ids: Codes) -> Histories:
    """Each next item is the one after the last, modulo the catalogue."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(4, 12, USERS)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    first = np.repeat(rng.integers(0, ITEMS, USERS), lengths)
    place = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    items, cuts = ((first + place) % ITEMS).astype(np.int32), leave_one_out(starts)
    users = pa.array(np.arange(USERS) + 1000)
    inputs = {"item_ids": catalogue_of(ids.item_ids.to_pylist()).fingerprint}
    made = Provenance("histories", inputs, {}, content_of(users.to_pylist(), items, starts, cuts))
    return Histories(users, items, starts, cuts, made)


@pytest.fixture(scope="module")
def trained():
    ids = some_ids()
    histories = some_histories(ids)
    recommender, steps = train_recommender(histories, ids, OPTIONS, LENGTH)
    return recommender, steps, histories, ids


@pytest.fixture(scope="module")
def metrics(trained):
    recommender, _, histories, ids = trained
    return judge(recommender, histories, ids, JUDGE)


def lists_before_targets(recommender, histories, ids, **how):
    """Ask as a user would: by the ids of the items before each target of the test."""
    names = ids.item_ids.to_pylist()
    asked, wanted = [], []
    for user in range(len(histories)):
        events = histories.items[histories.starts[user] : histories.starts[user + 1]].tolist()
        asked.append([names[row] for row in events[:-1]])
        wanted.append(names[events[-1]])
    return recommender.recommend(asked, **how).item_ids, wanted


def test_what_comes_next_is_learned(trained, metrics):
    assert metrics["recommend.recall_at_1"] > 0.9
    assert metrics["recommend.baseline.popularity.recall_at_1"] < 0.2
    low, high = (metrics[f"recommend.recall_at_5.{end}"] for end in ("low", "high"))
    assert low <= metrics["recommend.recall_at_5"] <= high
    steps = trained[1]
    assert [row.step for row in steps] == list(range(1, 13))


@pytest.mark.parametrize(("prefix", "unseen"), [("recommend.", False), ("recommend.unseen.", True)])
def test_figures_are_those_of_the_lists_that_users_get(trained, metrics, prefix, unseen):
    recommender, _, histories, ids = trained
    lists, wanted = lists_before_targets(recommender, histories, ids, k=10, exclude_seen=unseen)
    ranks = [
        found.tolist().index(item) if item in found.tolist() else 99
        for found, item in zip(lists, wanted, strict=True)
    ]
    for k in (1, 5, 10):
        hits = np.array([rank < k for rank in ranks])
        gains = np.where(hits, 1 / np.log2(np.array(ranks) + 2), 0)
        assert metrics[f"{prefix}recall_at_{k}"] == pytest.approx(hits.mean())
        assert metrics[f"{prefix}ndcg_at_{k}"] == pytest.approx(gains.mean())
    if not unseen:
        share = len({item for found in lists for item in found[:5].tolist()}) / ITEMS
        assert metrics["recommend.coverage_at_5"] == pytest.approx(share)


def test_everything_is_counted_and_said(trained, metrics, caplog):
    assert metrics["recommend.targets"] == metrics["recommend.users"] == USERS
    slices = [metrics[f"recommend.slice.{n}.targets"] for n in ("cold", "tail", "middle", "head")]
    assert sum(slices) == USERS
    assert metrics["recommend.beam.40.recall_at_5"] == metrics["recommend.recall_at_5"]
    assert metrics["recommend.beam.5.users_per_second"] > 0
    apart = metrics["recommend.control.shuffled.difference.recall_at_5"]
    both = (metrics[f"recommend.{who}recall_at_5"] for who in ("", "control.shuffled."))
    assert apart == pytest.approx(-float(np.subtract(*reversed(list(both)))))
    assert not any("counting_ids" in name for name in metrics)
    assert metrics["recommend.training.parameters"] > 1000
    assert all(isinstance(value, (int, float, str)) for value in metrics.values())


def test_colliding_ids_claim_more_than_they_find():
    ids = some_ids(collide=True)
    histories = some_histories(ids)
    recommender, _ = train_recommender(histories, ids, OPTIONS, LENGTH)
    plain = JudgeOptions.of({"ks": (1, 10), "beams": (), "baselines": (), "controls": ()})
    found = judge(recommender, histories, ids, plain)
    assert found["recommend.counting_ids.recall_at_1"] > 1.5 * found["recommend.recall_at_1"]
    assert found["recommend.counting_ids.recall_at_10"] >= found["recommend.recall_at_10"]


def test_all_users_are_recommended_what_comes_after_all_they_had(trained):
    recommender, _, histories, _ = trained
    made = recommend_all(recommender, histories)
    parts = list(made.parts())
    assert np.concatenate([users for users, _, _ in parts]).tolist() == histories.users.tolist()
    rows = np.concatenate([rows for _, rows, _ in parts])
    last = histories.items[histories.starts[1:] - 1]
    assert rows.shape == (USERS, 5) and (rows[:, 0] == (last + 1) % ITEMS).mean() > 0.9
    assert made.provenance.inputs == {
        "recommender": recommender.provenance.fingerprint,
        "histories": histories.provenance.fingerprint,
    }


def test_another_way_of_asking_needs_no_training(trained):
    recommender, _, histories, _ = trained
    other = RecommenderOptions.of({**OPTIONS.to_dict(), "decoding": {"k": 3, "beam": 7}})
    assert parameters_of(other) == parameters_of(OPTIONS)
    made = recommend_all(asked_with(recommender, other), histories)
    assert next(made.parts())[1].shape[1] == 3
    asked_with(recommender, OPTIONS)


def test_histories_of_other_items_are_refused(trained):
    _, _, histories, ids = trained
    other = Codes(
        pa.array([f"thing {i}" for i in range(ITEMS)]), ids.codes, SIZES, 3, ids.provenance
    )
    require_same_items(histories, ids)
    with pytest.raises(BadInput, match="'histories' was made from item_ids"):
        train_recommender(histories, other, OPTIONS, LENGTH)
