"""Baselines against dicts and loops."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from semantic_ids.recommenders import baselines, following
from semantic_ids.recommenders.baselines import (
    CoOccurrence,
    Neighbours,
    Popularity,
    Unseen,
    choose_cooccurrence,
    choose_neighbours,
    make_baseline,
)
from semantic_ids.recommenders.following import Following
from tests.recommenders.users import histories_of, some_users

ITEMS = 15


def pairs_of(sequences, decay, window):
    """Item → item that came after it → weight; the last two events are never looked at."""
    found = defaultdict(lambda: defaultdict(float))
    for sequence in sequences:
        known = sequence[:-2]
        for i, a in enumerate(known):
            for j in range(i + 1, min(len(known), i + window + 1)):
                if decay > 0 or j == i + 1:
                    found[a][known[j]] += decay ** (j - i - 1)
    return found


def as_loops(sequences, history, top, decay, memory, window, counts):
    follows, score = pairs_of(sequences, decay, window), defaultdict(float)
    for back, a in enumerate(reversed(history)):
        if memory > 0 or back == 0:
            for b, weight in follows[a].items():
                score[b] += memory**back * weight
    popular = sorted(range(ITEMS), key=lambda i: (-counts[i], i))
    ranked = sorted(score, key=lambda b: (-round(score[b], 9), popular.index(b)))
    return (ranked + [i for i in popular if i not in score])[:top], score


def padded(history, length=8):
    kept = history[-length:]
    return kept + [-1] * (length - len(kept))


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("memory", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_what_followed_against_a_dict(decay, memory, window, monkeypatch):
    monkeypatch.setattr(following, "USERS", 7)
    monkeypatch.setattr(baselines, "USERS", 9)
    sequences = some_users(seed=int(decay * 2 + memory * 8))
    histories = histories_of(sequences)
    counts = histories.training_counts(ITEMS)
    ranker = CoOccurrence(Following.of(histories, ITEMS, decay, window), counts, memory)
    past = [sequence[:-1][-8:] for sequence in sequences] + [[]]
    items, scores = ranker.rank(torch.tensor([padded(h) for h in past]), 12)
    for row, history in enumerate(past):
        truth, known = as_loops(sequences, history, 12, decay, memory, window, counts)
        assert items[row].tolist() == truth
        for item, score in zip(items[row].tolist(), scores[row].tolist(), strict=True):
            assert score == pytest.approx(known[item]) if item in known else score < 0
    assert (scores.diff() <= 1e-12).all()


def test_more_places_than_items_are_left_empty():
    histories = histories_of(some_users())
    ranker = CoOccurrence(Following.of(histories, ITEMS, 0.5), histories.training_counts(ITEMS), 1)
    for each in (ranker, Popularity(histories.training_counts(ITEMS))):
        items, scores = each.rank(torch.tensor([[3, -1], [-1, -1]]), 40)
        assert items.shape == scores.shape == (2, 40)
        assert (items[:, ITEMS:] == -1).all() and scores[:, ITEMS:].isneginf().all()
        assert items[:, :ITEMS].sort().values.tolist() == [list(range(ITEMS))] * 2
        assert each.rank(torch.empty((0, 2), dtype=torch.int64), 3)[0].shape == (0, 3)


def test_where_pairs_are_too_many_each_item_keeps_the_heaviest(monkeypatch):
    histories = histories_of(some_users(users=200))
    whole = Following.of(histories, ITEMS, 0.5)
    monkeypatch.setattr(following, "PAIRS", 4 * ITEMS)
    few = Following.of(histories, ITEMS, 0.5)
    assert np.diff(whole.starts).max() > 4 and np.diff(few.starts).max() == 4
    for item in range(ITEMS):
        row = slice(few.starts[item], few.starts[item + 1])
        assert (np.diff(few.items[row]) > 0).all()


def test_the_most_popular_first_and_of_equals_the_first_row():
    items, scores = Popularity(np.array([3, 9, 3, 0, 9])).rank(torch.full((2, 4), -1), 4)
    assert items.tolist() == [[1, 4, 0, 2]] * 2
    assert (scores.diff() < 0).all()


@pytest.mark.parametrize("memory", [0.0, 0.5, 1.0])
def test_the_nearest_against_all_cosines(memory, monkeypatch):
    monkeypatch.setattr(baselines, "VECTORS", 7)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32) * rng.uniform(0.1, 9, (60, 1))
    vectors[[5, 17, 40]] = vectors[3]  # equal ones: the first row first
    vectors = vectors.astype(np.float32)
    past = [[4], [9, 2], [5], [1, 2, 3, 4, 5, 6], [17, 40]]
    items, scores = Neighbours(vectors, memory).rank(torch.tensor([padded(h) for h in past]), 20)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row, history in enumerate(past):
        mean = sum(
            memory**back * unit[i] for back, i in enumerate(reversed(history)) if memory or not back
        )
        cosine = unit @ mean / np.linalg.norm(mean)
        order = sorted(set(range(60)) - {history[-1]}, key=lambda i: (-round(cosine[i], 5), i))
        assert items[row].tolist() == order[:20]
        np.testing.assert_allclose(scores[row], cosine[order[:20]], atol=1e-5)


def test_options_are_chosen_on_validation_alone():
    """Every other event is drawn: what came two events before says more than the last one."""
    rng = np.random.default_rng(0)
    first, drawn = rng.integers(0, 40, 400), 40 + rng.integers(0, 40, (400, 5))
    turns = (first[:, None] + np.arange(5)) % 40
    sequences = np.stack([turns, drawn], axis=2).reshape(400, 10).tolist()
    histories = histories_of(sequences)
    chosen = choose_cooccurrence(histories, 80)
    assert isinstance(chosen, Unseen)
    assert chosen.ranker.following.decay > 0 and chosen.ranker.memory > 0
    hidden = histories_of([[*s[:-1], 0] for s in sequences])  # another test: the same choice
    again = choose_cooccurrence(hidden, 80)
    assert again.ranker.following.decay == chosen.ranker.following.decay
    assert again.ranker.memory == chosen.ranker.memory
    vectors = rng.normal(size=(80, 4)).astype(np.float32)
    nothing = choose_neighbours(histories_of([[1, 2]]), vectors)  # to choose on
    assert isinstance(nothing, Neighbours) and nothing.memory == 0


def test_where_nobody_comes_back_the_items_of_the_history_are_left_out():
    """Everybody has items of one half, none twice, in any order."""
    rng = np.random.default_rng(0)
    sequences = [(rng.permutation(7) + 7 * (n % 2)).tolist() for n in range(200)]
    histories, vectors = histories_of(sequences), rng.normal(size=(14, 4)).astype(np.float32)
    past = torch.tensor([padded(sequence[:-1]) for sequence in sequences] + [[-1] * 8])
    for chosen in (choose_cooccurrence(histories, 14), choose_neighbours(histories, vectors)):
        assert isinstance(chosen, Unseen)
        every, _ = chosen.ranker.rank(past, 14)
        items, scores = chosen.rank(past, 5)
        for row, history in enumerate(past.tolist()):
            left = [item for item in every[row].tolist() if item >= 0 and item not in history]
            assert items[row].tolist() == (left + [-1] * 5)[:5]
        assert (scores.diff() <= 0).all()
    turns = histories_of([[n % 7, 7 + n % 7] * 4 for n in range(200)])  # who come back
    assert isinstance(choose_cooccurrence(turns, 14), CoOccurrence)


def test_each_by_its_name():
    sequences = some_users()
    histories = histories_of(sequences)
    vectors = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)
    made = {
        name: make_baseline(name, histories, ITEMS, vectors=vectors)
        for name in ("popularity", "next", "cooccurrence", "neighbours")
    }
    past = torch.tensor([padded(sequence[:-1]) for sequence in sequences])
    ranked = {name: ranker.rank(past, 5)[0].tolist() for name, ranker in made.items()}
    counts = histories.training_counts(ITEMS)
    for row, sequence in enumerate(sequences):
        truth, _ = as_loops(sequences, sequence[:-1], 5, 0.0, 0.0, 1, counts)
        assert ranked["next"][row] == truth
    assert len({str(lists) for lists in ranked.values()}) == 4
    for name in ("nothing", "neighbours"):
        with pytest.raises(ValueError, match="no baseline"):
            make_baseline(name, histories, ITEMS)
