"""Where every item is while `reassign` works: its codes, and its distortion before and after."""

from __future__ import annotations

import numpy as np

from semantic_ids.arrays import CHUNK_ROWS, chunks
from semantic_ids.codes import keys
from semantic_ids.contract import CostOracle
from semantic_ids.grouping import Groups
from semantic_ids.identifiers.taken import Taken

COSTS_AT_A_TIME = 2**23
"""Numbers in a batch of level costs: 32 MB. It bounds memory where the last codebook is large."""

LEAST_ROWS = 128
"""Matrix products of fewer rows are slow, and need not give the same bits."""


class Placement:
    """Codes that change, with the distortion of each item before and after.

    Attributes:
        oracle: What codes cost the items.
        codes: Shape (n, L), int32: a copy of the tokenizer's codes, changed in place.
        before: Shape (n,), float64: distortion with the tokenizer's codes, NaN until it is known.
        after: Shape (n,), float64: distortion with the codes given last.
        sizes: The L codebook sizes.
        taken: IDs that other items have or had, given as (o, L): no item gets one of them.
    """

    def __init__(
        self, oracle: CostOracle, codes: np.ndarray, taken: np.ndarray | None = None
    ) -> None:
        self.oracle, self.sizes = oracle, tuple(oracle.sizes)
        self.taken = Taken.of(taken, self.sizes)
        self.codes = np.array(codes, dtype=np.int32)
        self.before = np.full(len(codes), np.nan)
        self.after = np.full(len(codes), np.nan)

    @property
    def last_size(self) -> int:
        """Size K of the last codebook: how many items a prefix has room for."""
        return self.sizes[-1]

    @property
    def batch_rows(self) -> int:
        """Rows to work on at a time."""
        return min(CHUNK_ROWS, max(LEAST_ROWS, COSTS_AT_A_TIME // self.last_size))

    def prefix_keys(self) -> np.ndarray:
        """Return the key of each item's prefix: shape (n,), int64."""
        return keys(self.codes[:, :-1], self.sizes)

    def colliding(self) -> Groups:
        """Return the groups of a common prefix in which items share all their codes, or have an ID
        that is taken.
        """
        in_order = np.sort(keys(self.codes, self.sizes))
        again = in_order[1:] == in_order[:-1]
        shared = np.concatenate([in_order[1:][again], in_order[self.taken.holds(in_order)]])
        groups = Groups.by(self.prefix_keys())
        wanted = np.unique(shared // self.last_size)
        return groups.select(np.isin(groups.keys, wanted, assume_unique=True))

    def costs(self, rows: np.ndarray) -> np.ndarray:
        """Return the distortion of every last-level code under each item's present prefix.

        (m,) row numbers → (m, K) float32.
        """
        costs = np.empty((len(rows), self.last_size), dtype=np.float32)
        for piece in chunks(len(rows), self.batch_rows):
            costs[piece] = self.oracle.level_costs(rows[piece], self.codes[rows[piece], :-1])
        return costs

    def distortion(self, rows: np.ndarray) -> np.ndarray:
        """Return the distortion of items with their present codes.

        (m,) row numbers → (m,) float32.
        """
        return self.oracle.distortion(rows, self.codes[rows])

    def note_before(self, rows: np.ndarray, costs: np.ndarray) -> None:
        """Note the distortion of items that have not been touched yet.

        Those that have keep what was noted then.

        Args:
            rows: Shape (m,): row numbers; the untouched ones have the tokenizer's codes.
            costs: Shape (m, K): what `costs(rows)` gave.
        """
        new = np.isnan(self.before[rows])
        self.before[rows[new]] = costs[new, self.codes[rows[new], -1]]

    def pay(self, rows: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return what last-level codes cost items under their prefixes, and note what theirs did.

        For items whose costs are too many to be held.

        Args:
            rows: Shape (m,): row numbers; see `note_before`.
            last: Shape (m,): codes. Of no meaning where it is none.

        Returns:
            Shape (m,), float64.
        """
        paid = np.empty(len(rows))
        for piece in chunks(len(rows), self.batch_rows):
            costs = self.costs(rows[piece])
            self.note_before(rows[piece], costs)
            paid[piece] = costs[np.arange(len(costs)), last[piece]]
        return paid
