"""Small histories whose next item is known, or unknowable."""

from __future__ import annotations

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.splits import leave_one_out


def histories_of(items, starts, cuts=None) -> Histories:
    cuts = leave_one_out(starts) if cuts is None else cuts
    made = Provenance("histories", content="planted")
    return Histories(np.arange(len(starts) - 1), np.asarray(items, np.int32), starts, cuts, made)


def cyclic(items: int, users: int, seed: int = 0, most: int = 30) -> Histories:
    """Users who take the items in turn: after item i comes i + 1, after the last one 0."""
    rng = np.random.default_rng(seed)
    lengths, firsts = rng.integers(5, most, users), rng.integers(0, items, users)
    events = [(f + np.arange(n)) % items for f, n in zip(firsts, lengths, strict=True)]
    return histories_of(np.concatenate(events), np.concatenate([[0], np.cumsum(lengths)]))


def arbitrary(items: int, users: int, seed: int = 0) -> Histories:
    """Users who take anything."""
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(rng.integers(5, 12, users))])
    return histories_of(rng.integers(0, items, starts[-1]), starts)


def unique_codes(items: int, sizes: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """IDs that no two items share, in no order."""
    ids = np.random.default_rng(seed).permutation(int(np.prod(sizes)))[:items]
    return np.column_stack(np.unravel_index(ids, sizes)).astype(np.int32)
