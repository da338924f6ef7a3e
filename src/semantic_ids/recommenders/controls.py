"""IDs that mean nothing: what a recommender reaches with them, it owes to no semantics.

`shuffled` keeps the IDs and so the shape of the trie, and takes away which item has which. `random`
takes away the shape too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.codes import capacity, unpack
from semantic_ids.grouping import Groups
from semantic_ids.publishing.trie_arrays import id_keys


def control_ids(name: str, codes: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Return the IDs of a control, `shuffled` or `random`: (n, L), of the same sizes."""
    return shuffled(codes, seed) if name == "shuffled" else drawn(codes, sizes, seed)


def shuffled(codes: np.ndarray, seed: int) -> np.ndarray:
    """Deal the same IDs to other items: no row keeps its own.

    Args:
        codes: Shape (n, L), in an order that does not depend on that of any file.
        seed: Equal seeds deal alike.

    Returns:
        Shape (n, L): row p(i) gets the codes of row p(i + 1), where p is a random order.
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    dealt = np.empty_like(codes)
    dealt[order] = codes[np.roll(order, -1)]
    return dealt


def drawn(codes: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Draw IDs evenly from all that the sizes allow.

    As many different ones as there are, and as many items to each: they are unique where the IDs
    are. Which items share one is drawn as well.

    Args:
        codes: Shape (n, L).
        sizes: How many codes each level has.
        seed: Equal seeds draw alike.

    Returns:
        Shape (n, L), of the same type.
    """
    rng = np.random.default_rng(seed)
    groups = Groups.by(id_keys(codes, tuple(sizes))[0])
    ids = _distinct(len(groups.sizes), tuple(sizes), rng).astype(codes.dtype)
    return np.repeat(ids, groups.sizes, axis=0)[rng.permutation(len(codes))]


def _distinct(count: int, sizes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw different IDs: (count, L). Where most of all there are, a part of a random order."""
    if capacity(sizes) <= 2 * count:
        return unpack(rng.permutation(capacity(sizes))[:count], sizes)
    found = np.zeros((0, len(sizes)), np.int32)
    while len(found) < count:
        more = [rng.integers(0, k, count - len(found), np.int32) for k in sizes]
        found = np.concatenate([found, np.stack(more, axis=1)])
        _, first = np.unique(id_keys(found, sizes)[0], return_index=True)
        found = found[np.sort(first)]
    return found
