"""The arrays of a trie, made from IDs by one sort.

The keys of all IDs are sorted, and one level after the other is taken off them, from the last to
the first: a level's codes are what its keys leave when they are divided by its size.
"""

from __future__ import annotations

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.codes import LARGEST_KEY

ROWS = 1 << 18
"""Rows worked on at a time, so that little is held beside the keys."""


def prefix_arrays(
    codes: np.ndarray, sizes: tuple[int, ...]
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Return `codes`, `starts`, `shared` and `beyond` of `Trie`.

    Args:
        codes: Shape (n, L), integers.
        sizes: L sizes; `codes[:, l]` is in `[0, sizes[l])`.
    """
    keys, named = id_keys(codes, sizes)
    keys.sort()
    new = _new(keys)
    shared, beyond = _shared(new)
    keys = keys[new] if len(shared) else keys
    tables, starts = [], []
    for level in range(len(sizes) - 1, -1, -1):
        tables.append(_take_off(keys, sizes[level]))
        new = _new(keys)
        firsts = np.flatnonzero(new) if level else np.zeros(1, np.int64)
        starts.append(_ends(firsts, len(keys)))
        del firsts
        keys = keys[new]
        if level in named:
            keys = named[level][keys]
    return tuple(reversed(tables)), tuple(reversed(starts)), shared, beyond


def id_keys(codes: np.ndarray, sizes: tuple[int, ...]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Pack each ID into one int64 that sorts as the ID does.

    Where the levels do not fit 63 bits, the prefixes up to there are numbered first.

    Returns:
        Shape (n,); and by level the keys of those prefixes, in the order of their numbers.
    """
    keys, room, named = np.zeros(len(codes), dtype=np.int64), 1, dict[int, np.ndarray]()
    for level, size in enumerate(sizes):
        if room * size > LARGEST_KEY:
            named[level], keys = np.unique(keys, return_inverse=True)
            room = max(1, len(named[level]))
        for part in chunks(len(codes), ROWS):
            keys[part] *= size
            keys[part] += codes[part, level]
        room *= size
    return keys, named


def _shared(new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which IDs several items have, and how many more than one: see `Trie`."""
    if new.all():
        return np.zeros(0, smallest(len(new))), np.zeros(1, smallest(0))
    firsts = np.flatnonzero(new)
    sizes = np.diff(firsts, append=len(new))
    shared = np.flatnonzero(sizes > 1)
    beyond = np.concatenate([[0], np.cumsum(sizes[shared] - 1)])
    return shared.astype(smallest(len(firsts))), beyond.astype(smallest(int(beyond[-1])))


def _take_off(keys: np.ndarray, size: int) -> np.ndarray:
    """Divide keys by the size of their last level, in place, and return what is left of each."""
    rest = np.empty(len(keys), dtype=smallest(size - 1))
    for part in chunks(len(keys), ROWS):
        above = keys[part] // size
        rest[part] = keys[part] - above * size
        keys[part] = above
    return rest


def _new(keys: np.ndarray) -> np.ndarray:
    """Return which keys differ from the one before: (n,) sorted → (n,) bool."""
    new = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=new[1:])
    return new


def _ends(firsts: np.ndarray, end: int) -> np.ndarray:
    """Return where runs start, and where the last one ends: (m,) → (m + 1,), the smallest type."""
    starts = np.empty(len(firsts) + 1, dtype=smallest(end))
    starts[:-1], starts[-1] = firsts, end
    return starts


def smallest(largest: int) -> np.dtype:
    """Return the smallest unsigned type that holds a number."""
    return np.min_scalar_type(largest)
