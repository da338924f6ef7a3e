from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.lists import ItemsById, item_lists


def expected(ids, scores, items, k, seen):
    """One user after the other, one item after the other."""
    for user, (of_user, values) in enumerate(zip(ids, scores, strict=True)):
        found = []
        for one, score in zip(of_user, values, strict=True):
            if one >= 0:
                rows = items.rows[items.starts[one] : items.starts[one + 1]].tolist()
                found += [(r, score - np.log(len(rows))) for r in rows if r not in seen[user]]
        yield found[:k]


@st.composite
def cases(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    n = int(starts[-1])
    rows = np.array(draw(st.permutations(range(n))))
    users, width = draw(st.integers(0, 4)), draw(st.integers(1, len(sizes)))
    ids = np.full((users, width), -1)
    for row in ids:
        count = draw(st.integers(0, width))
        row[:count] = draw(st.permutations(range(len(sizes))))[:count]
    seen = [set(draw(st.lists(st.integers(0, n - 1), max_size=4))) for _ in range(users)]
    return starts, rows, ids, draw(st.integers(1, n + 2)), seen


@given(cases())
@settings(max_examples=200, deadline=None)
def test_lists_are_those_made_item_by_item(case):
    starts, rows, ids, k, seen = case
    items = ItemsById(starts, rows)
    scores = -np.sort(np.random.default_rng(0).random(ids.shape).astype(np.float32))
    scores[ids < 0] = -np.inf
    without = (
        np.array([u for u, rows in enumerate(seen) for _ in rows], dtype=np.int64),
        np.array([r for rows in seen for r in rows], dtype=np.int64),
    )
    found, values = item_lists(ids, scores, items, k, without)
    for got, value, right in zip(found, values, expected(ids, scores, items, k, seen), strict=True):
        assert got.tolist() == [r for r, _ in right] + [-1] * (k - len(right))
        np.testing.assert_allclose(value[: len(right)], [s for _, s in right], rtol=1e-6)
        assert (value[len(right) :] == -np.inf).all()


def test_items_of_one_id_are_taken_by_events_then_by_row():
    items = ItemsById.of(np.array([0, 3, 5]), np.array([4, 1, 2, 3, 0]), np.array([5, 1, 9, 5, 1]))
    assert items.rows.tolist() == [2, 1, 4, 0, 3]


def test_the_probabilities_of_the_items_of_an_id_add_up_to_that_of_the_id():
    items = ItemsById(np.array([0, 3, 4]), np.arange(4))
    scores = np.log(np.array([[0.6, 0.4]], dtype=np.float32))
    _, values = item_lists(np.array([[0, 1]]), scores, items, 4)
    np.testing.assert_allclose(np.exp(values), [[0.2, 0.2, 0.2, 0.4]], rtol=1e-6)
