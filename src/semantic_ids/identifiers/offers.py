"""Offers: other prefixes with room, best first, for items that cannot keep their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.codes import capacity, keys, unpack
from semantic_ids.grouping import Partition
from semantic_ids.identifiers.placement import Placement

CANDIDATES_AT_A_TIME = 2**17
"""Candidates that are asked for in one call, over all items."""


@dataclass(frozen=True)
class Offers:
    """What some items are offered: each at least one prefix, no prefix twice.

    Attributes:
        prefixes: Shape (m, t), int64: keys of the prefixes; of no meaning where the cost is inf.
        last: Shape (m, t), int32: the best last-level code under each.
        costs: Shape (m, t), ascending: the distortion with that code, inf where fewer than t are
            offered.
    """

    prefixes: np.ndarray
    last: np.ndarray
    costs: np.ndarray

    @classmethod
    def of(cls, codes: np.ndarray, costs: np.ndarray, sizes: Sequence[int]) -> Offers:
        """Make offers of candidates: (m, t, L) codes and (m, t) costs, as `search` returns them."""
        m, t, levels = codes.shape
        prefixes = keys(codes[:, :, :-1].reshape(m * t, levels - 1), sizes).reshape(m, t)
        return cls(prefixes, codes[:, :, -1].copy(), costs)

    @classmethod
    def concatenate(cls, parts: Sequence[Offers]) -> Offers:
        """Put offers to different items one after the other; there is at least one part."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("prefixes", "last", "costs")
            )
        )

    def select(self, items: np.ndarray) -> Offers:
        """Keep the offers to some items: numbers, or a mask of shape (m,)."""
        return Offers(self.prefixes[items], self.last[items], self.costs[items])

    def made(self) -> np.ndarray:
        """Return how many offers each item has: shape (m,)."""
        return np.isfinite(self.costs).sum(axis=1)


def ask(placement: Placement, rows: np.ndarray, t: int, excluded: np.ndarray) -> Offers:
    """Offer each item up to t prefixes, nearest first, and at least one.

    Of items with equal vectors one is asked for: they are offered the same at the very same costs,
    whatever a device makes of equal vectors in different places.

    Args:
        placement: The items.
        rows: Shape (m,): row numbers.
        t: How many prefixes an item.
        excluded: Keys of the prefixes without room, ascending, int64. At least one prefix is open.
    """
    alike = Partition.of(placement.oracle.likeness(rows))
    asked = rows[alike.first]
    found = [
        Offers.of(*search(placement, asked[piece], t, excluded), placement.sizes)
        for piece in chunks(len(asked), placement.batch_rows)
    ]
    return Offers.concatenate(found).select(alike.of_row)


def search(
    placement: Placement,
    rows: np.ndarray,
    t: int,
    excluded: np.ndarray,
    width: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best open prefixes.

    For items with none, search twice as wide, and at last without the tokenizer's search.

    A search through more prefixes than are excluded must meet an open one; a tokenizer that still
    finds none does not look further.

    Args:
        placement: The items.
        rows: Shape (m,): row numbers.
        t: How many prefixes an item.
        excluded: Keys of the prefixes without room, ascending, int64.
        width: How many candidates to ask for; t of them are kept.

    Returns:
        Codes, shape (m, t, L), and their distortion, (m, t): ascending, with at least one for every
        item, then −1 and inf.
    """
    width = width or t
    codes, costs = _candidates(placement, rows, width, excluded)
    codes, costs = codes[:, :t].copy(), costs[:, :t].copy()
    lost = ~np.isfinite(costs[:, 0])
    if lost.any():
        last_resort = width > len(excluded)
        found = (
            _enumerate(placement, rows[lost], t, excluded)
            if last_resort
            else search(placement, rows[lost], t, excluded, 2 * width)
        )
        codes[lost], costs[lost] = found
    return codes, costs


def _candidates(
    placement: Placement, rows: np.ndarray, width: int, excluded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ask for candidates, for few items at a time where the search is wide."""
    found = [
        placement.oracle.candidates(rows[piece], width, excluded)
        for piece in chunks(len(rows), max(1, CANDIDATES_AT_A_TIME // width))
    ]
    return np.concatenate([codes for codes, _ in found]), np.concatenate(
        [costs for _, costs in found]
    )


def _enumerate(
    placement: Placement, rows: np.ndarray, t: int, excluded: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Offer the first t open prefixes by key, best first.

    The last resort, so that every item finds room whatever the tokenizer does.

    Returns:
        Shapes (m, t, L) and (m, t), filled up with −1 and inf.
    """
    first = np.arange(min(capacity(placement.sizes[:-1]), len(excluded) + t), dtype=np.int64)
    prefixes = unpack(np.setdiff1d(first, excluded, assume_unique=True)[:t], placement.sizes[:-1])
    codes = np.full((len(rows), t, len(placement.sizes)), -1, dtype=np.int32)
    costs = np.full((len(rows), t), np.inf)
    for item, row in enumerate(rows):
        under = placement.oracle.level_costs(np.full(len(prefixes), row), prefixes)
        last, paid = under.argmin(axis=1), under.min(axis=1)
        order = np.argsort(paid, kind="stable")
        codes[item, : len(order)] = np.column_stack([prefixes, last])[order]
        costs[item, : len(order)] = paid[order]
    return codes, costs
