"""Lists without what was seen, against loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from semantic_ids.recommenders.seen import Seen, drop_ids, drop_items
from tests.recommenders.users import histories_of


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 20), st.integers(0, 12))
def test_against_loops(seed, items, length):
    rng = np.random.default_rng(seed)
    histories = rng.integers(-1, items, (6, length))
    id_of = rng.integers(-1, 8, items)
    seen = Seen.of(histories)
    sets = [set(row.tolist()) - {-1} for row in histories]
    assert seen.counts.tolist() == [len(of) for of in sets]
    asked = rng.integers(-1, items, 6)
    assert seen.holds(asked).tolist() == [i in of for i, of in zip(asked, sets, strict=True)]
    lists = np.stack([rng.permutation(items) for _ in range(6)])
    lists[:, items // 2 :] = -1
    for row, kept in enumerate(drop_items(lists, seen).tolist()):
        truth = [i for i in lists[row].tolist() if i >= 0 and i not in sets[row]]
        assert kept == truth + [-1] * (items - len(truth))
    ids = np.stack([rng.permutation(8)[:5] for _ in range(6)])
    ids[:, 4:] = -1
    sizes = np.where(ids >= 0, np.bincount(id_of[id_of >= 0], minlength=8)[ids], 0)
    scores = rng.normal(size=ids.shape).astype(np.float32)
    left, of, each = drop_ids(ids, sizes, scores, seen, id_of)
    for row in range(6):
        taken = Counter(int(id_of[i]) for i in sets[row] if id_of[i] >= 0)
        truth = [
            (i, n - taken[i], s)
            for i, n, s in zip(ids[row].tolist(), sizes[row], scores[row], strict=True)
            if i >= 0 and n > taken[i]
        ]
        truth += [(-1, 0, -np.inf)] * (5 - len(truth))
        assert list(zip(left[row].tolist(), of[row], each[row], strict=True)) == truth


def test_all_that_came_before_however_long_ago():
    histories = histories_of([[4, 2, 4, 1, 0], [3, 3, 5]])
    seen = Seen.before(histories, np.array([4, 0, 7]))
    assert seen.counts.tolist() == [3, 0, 1]
    assert (seen.users.tolist(), seen.rows.tolist()) == ([0, 0, 0, 2], [1, 2, 4, 3])
