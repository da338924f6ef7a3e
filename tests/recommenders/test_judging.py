"""Judgements against one target after the other, in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from semantic_ids.recommenders import judging
from semantic_ids.recommenders.baselines import Popularity
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.judging import judge_ids, judge_items
from semantic_ids.recommenders.ranking import MEASURES
from semantic_ids.recommenders.summary import compared, summary
from tests.recommenders.catalogues import drawn
from tests.recommenders.networks import Drawn, all_ids, moved
from tests.recommenders.users import histories_of, some_users
from tests.tokenizers.pretend import GPU, pretend_gpu

ITEMS, SIZES, KS = 15, (3, 3), (1, 2, 5)
CODES = drawn(ITEMS, SIZES, seed=4)  # 15 items, at most 9 IDs


def one_by_one(model, sequences, back, exclude, length=6):
    """Recall, NDCG and MRR of each target, from the probabilities of all IDs."""
    found = []
    for sequence in sequences:
        place = len(sequence) - back
        past, target = sequence[:place], sequence[place]
        gone = set(past) if exclude else set()
        shown = past[-length:] + [-1] * (length - len(past[-length:]))
        score = all_ids(model, CODES, torch.tensor(shown))
        ahead, row = 0, np.zeros((3, len(KS)))
        for i in sorted(score, key=score.get, reverse=True):
            items = [m for m in range(ITEMS) if tuple(CODES[m].tolist()) == i and m not in gone]
            if target in items:
                for rank in range(ahead + 1, ahead + len(items) + 1):
                    for column, k in enumerate(KS):
                        if rank <= k:
                            row[:, column] += np.array([1, 1 / math.log2(rank + 1), 1 / rank])
                row /= len(items)
            ahead += len(items)
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("part", ["valid", "test"])
@pytest.mark.parametrize("exclude", [False, True])
def test_ids_that_collide_against_one_user_after_the_other(part, exclude, monkeypatch):
    monkeypatch.setattr(judging, "users_at_once", lambda children, width: 7)
    sequences = some_users(30, ITEMS)
    children, model = Children(CODES, SIZES), Drawn(SIZES, ITEMS)
    assert children.leaves < ITEMS
    judged = judge_ids(
        model, children, histories_of(sequences), part, length=6, ks=KS, beam=9,
        exclude_seen=exclude,
    )  # fmt: skip
    truth = one_by_one(model, sequences, {"valid": 2, "test": 1}[part], exclude)
    for row, name in enumerate(MEASURES):
        np.testing.assert_allclose(judged.cases()[name], truth[:, row], atol=1e-9)
    assert judged.collide and judged.users.tolist() == list(range(30))
    assert judged.targets.tolist() == [s[{"valid": -2, "test": -1}[part]] for s in sequences]
    claimed = judged.cases(counting_ids=True)["recall"]
    assert (claimed >= judged.cases()["recall"] - 1e-12).all()
    assert claimed.sum() > 1.2 * judged.cases()["recall"].sum()
    assert judged.recommended.counts[-1].sum() == sum(
        min(5, ITEMS - len(set(s[: -2 if part == "valid" else -1])) if exclude else 5)
        for s in sequences
    )


@pytest.mark.parametrize("exclude", [False, True])
def test_rankers_of_items_against_one_user_after_the_other(exclude, monkeypatch):
    monkeypatch.setattr(judging, "SCORES", 1)  # batches of 16
    sequences = some_users(40, ITEMS, seed=1)
    histories = histories_of(sequences)
    counts = histories.training_counts(ITEMS)
    judged = judge_items(
        Popularity(counts), histories, "test", items=ITEMS, length=3, ks=KS, exclude_seen=exclude
    )
    popular = sorted(range(ITEMS), key=lambda i: (-counts[i], i))
    for row, sequence in enumerate(sequences):
        left = [i for i in popular if not exclude or i not in sequence[:-1]]
        rank = left.index(sequence[-1]) + 1 if sequence[-1] in left else math.inf
        assert judged.cases()["recall"][row].tolist() == [float(rank <= k) for k in KS]
        truth = [1 / rank if rank <= k else 0 for k in KS]
        np.testing.assert_allclose(judged.cases()["mrr"][row], truth)
    assert not judged.collide


def test_the_summary_is_of_the_cases():
    sequences = some_users(60, ITEMS, seed=2)
    sequences = [s[:-1] + [14] if n % 6 == 0 else s for n, s in enumerate(sequences)]  # noqa: RUF005
    sequences = [[i if i < 14 else 13 for i in s[:-1]] + s[-1:] for s in sequences]  # 14 is cold
    histories = histories_of(sequences)
    counts = histories.training_counts(ITEMS)
    children, model = Children(CODES, SIZES), Drawn(SIZES, ITEMS)
    judged = judge_ids(model, children, histories, "test", length=6, ks=(1, 5, 50), beam=9)
    found = summary(judged, counts, resamples=200, bounds=(20, 25))
    assert judged.ks == (1, 5) and "recall_at_50" not in found  # no beam of 9 can fill it
    recall = judged.cases()["recall"][:, 1]
    assert found["recall_at_5"] == pytest.approx(recall.mean())
    assert found["recall_at_5.low"] < recall.mean() < found["recall_at_5.high"]
    claimed = judged.cases(counting_ids=True)["recall"][:, 1]
    assert found["counting_ids.recall_at_5"] == pytest.approx(claimed.mean())
    cold = judged.targets == 14
    assert found["slice.cold.targets"] == cold.sum() > 0
    assert found["slice.cold.recall_at_5"] == pytest.approx(recall[cold].mean())
    slices = [found[f"slice.{name}.targets"] for name in ("cold", "tail", "middle", "head")]
    assert sum(slices) == found["targets"] == 60
    given = judged.recommended.counts[1]
    assert found["coverage_at_5"] == (given > 0).mean()
    ratio = (given * counts).sum() / given.sum() / counts[judged.targets].mean()
    assert found["popularity_at_5"] == pytest.approx(ratio)
    assert 0 < found["percentile_of_targets"] < 1 and 0 < found["percentile_at_5"] < 1
    plain = summary(judged, counts, resamples=0)
    assert plain["recall_at_5"] == pytest.approx(found["recall_at_5"])
    assert not any(name.endswith((".low", ".high")) for name in plain)


def test_two_recommenders_are_compared_target_by_target():
    histories = histories_of(some_users(60, ITEMS, seed=3))
    counts = histories.training_counts(ITEMS)
    judged = [
        judge_items(Popularity(of), histories, "test", items=ITEMS, length=3, ks=KS)
        for of in (counts, -counts)
    ]
    found = compared(*judged, resamples=200)
    mean = judged[0].cases()["ndcg"][:, 2].mean() - judged[1].cases()["ndcg"][:, 2].mean()
    assert found["ndcg_at_5"] == pytest.approx(mean)
    assert found["ndcg_at_5.low"] < mean < found["ndcg_at_5.high"]
    itself = compared(judged[0], judged[0], resamples=50)
    assert set(itself.values()) == {0.0}
    other = judge_items(Popularity(counts), histories, "valid", items=ITEMS, length=3, ks=KS)
    with pytest.raises(ValueError, match="different targets"):
        compared(judged[0], other)


def test_nobody_to_judge_with():
    histories = histories_of([[1, 2]])
    counts = histories.training_counts(ITEMS)
    judged = judge_items(Popularity(counts), histories, "valid", items=ITEMS, length=3, ks=KS)
    assert summary(judged, counts)["targets"] == 0


def test_one_thread_and_four_say_the_same(monkeypatch):
    monkeypatch.setattr(judging, "users_at_once", lambda children, width: 9)
    histories, model = histories_of(some_users(80, ITEMS)), Drawn(SIZES, ITEMS)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            found.append(
                judge_ids(model, Children(CODES, SIZES), histories, "test", length=6, ks=KS, beam=5)
            )
    finally:
        torch.set_num_threads(before)
    for name in ("before", "among", "rank"):
        one, four = (getattr(judged.places, name) for judged in found)
        np.testing.assert_array_equal(one, four)
    np.testing.assert_array_equal(found[0].recommended.counts, found[1].recommended.counts)


@pytest.mark.parametrize("exclude", [False, True])
def test_on_a_pretended_gpu_the_same(exclude, monkeypatch):
    histories, model = histories_of(some_users(40, ITEMS)), Drawn(SIZES, ITEMS)
    how = {"length": 6, "ks": KS, "beam": 5, "exclude_seen": exclude}
    here = judge_ids(model, Children(CODES, SIZES), histories, "test", **how)
    with pretend_gpu(monkeypatch):
        children = Children(CODES, SIZES, GPU)
        there = judge_ids(moved(model, GPU), children, histories, "test", **how)
    np.testing.assert_array_equal(there.places.before, here.places.before)
    np.testing.assert_array_equal(there.recommended.counts, here.recommended.counts)
