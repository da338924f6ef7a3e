"""Small histories for tests."""

from __future__ import annotations

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.splits import leave_one_out


def histories_of(sequences, cuts=None):
    starts = np.cumsum([0, *map(len, sequences)])
    items = np.array([item for sequence in sequences for item in sequence], np.int32)
    return Histories(
        list(range(len(sequences))),
        items,
        starts,
        leave_one_out(starts) if cuts is None else np.asarray(cuts),
        Provenance("histories"),
    )


def some_users(users=40, items=15, seed=0, most=12):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, items, rng.integers(3, most)).tolist() for _ in range(users)]
