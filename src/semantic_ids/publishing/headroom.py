"""Headroom: how many more items the IDs that have not been issued are enough for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.codes import capacity, keys
from semantic_ids.occupancy import items_until

SHORT = 0.01
"""IDs run short where this share of the new items has to leave its prefix."""


def headroom(issued: np.ndarray, sizes: Sequence[int]) -> dict[str, float | int]:
    """Say how much room there is for items that come, where each has a last-level code of its own.

    New items are expected under the prefixes as the present ones are: see
    `occupancy.spilled_rate`.

    Args:
        issued: Shape (n, L), n ≥ 1: every ID that was ever issued under these codebooks, once.
        sizes: The L codebook sizes.

    Returns:
        `append.free_rate`: share of the IDs that no item ever had. `append.full_prefixes`: prefixes
        with no ID left. `append.items_until_spill`: how many more items may come before 1 % of them
        find no ID under their own prefix.
    """
    _, counts = np.unique(keys(issued[:, :-1], sizes), return_counts=True)
    prefixes, last = capacity(sizes[:-1]), int(sizes[-1])
    return {
        "append.free_rate": 1 - len(issued) / (prefixes * last),
        "append.full_prefixes": int(np.count_nonzero(counts >= last)),
        "append.items_until_spill": items_until(SHORT, counts, prefixes, last),
    }
