"""Where every item is while `reassign` works: its codes, and its distortion before and after."""

from __future__ import annotations

import numpy as np

from semantic_ids.arrays import CHUNK_ROWS, chunks, read_rows
from semantic_ids.codes import keys
from semantic_ids.contract import Tokenizer

COSTS_AT_A_TIME = 2**23
"""Numbers in a batch of level costs: 32 MB. It bounds memory where the last codebook is large."""

LEAST_ROWS = 128
"""Matrix products of fewer rows are slow, and need not give the same bits."""


class Placement:
    """Codes that change, with the distortion of each item before and after.

    Attributes:
        codes: Shape (n, L), int32: a copy of the tokenizer's codes, changed in place.
        before: Shape (n,), float64: distortion with the tokenizer's codes, NaN until it is known.
        after: Shape (n,), float64: distortion with the codes given last.
        sizes: The L codebook sizes.
    """

    def __init__(self, tokenizer: Tokenizer, vectors: np.ndarray, codes: np.ndarray) -> None:
        self.tokenizer, self.vectors = tokenizer, vectors
        self.sizes = tuple(int(k) for k in tokenizer.codebook_sizes)
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

    def costs(self, rows: np.ndarray) -> np.ndarray:
        """Return the distortion of every last-level code under each item's present prefix.

        (m,) row numbers → (m, K) float32.
        """
        costs = np.empty((len(rows), self.last_size), dtype=np.float32)
        for piece in chunks(len(rows), self.batch_rows):
            costs[piece] = self.costs_of(read_rows(self.vectors, rows[piece]), rows[piece])
        return costs

    def costs_of(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the same for a batch of items whose vectors have been read.

        (m, D), (m,) → (m, K) float32.
        """
        return self.tokenizer.level_costs(vectors, self.codes[rows, :-1])

    def distortion(self, rows: np.ndarray) -> np.ndarray:
        """Return the distortion of items with their present codes.

        (m,) row numbers → (m,) float32.
        """
        return self.tokenizer.distortion(read_rows(self.vectors, rows), self.codes[rows])

    def note_before(self, rows: np.ndarray, costs: np.ndarray) -> None:
        """Note the distortion of items that have not been touched yet.

        Those that have keep what was noted then.

        Args:
            rows: Shape (m,): row numbers; the untouched ones have the tokenizer's codes.
            costs: Shape (m, K): what `costs(rows)` gave.
        """
        new = np.isnan(self.before[rows])
        self.before[rows[new]] = costs[new, self.codes[rows[new], -1]]
