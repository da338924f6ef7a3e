"""The vocabulary of IDs: a token for each code of each level, in one table.

Level l has the tokens offset_l … offset_l + K_l − 1, so code 5 of one level and code 5 of another
are two tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn


class Tokens(nn.Module):
    """The tokens of each item.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.

    Attributes:
        sizes: How many codes each level has.
        offsets: First token of each level.
        size: How many tokens there are.
    """

    rows: Tensor

    def __init__(self, codes: np.ndarray, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(int(size) for size in sizes)
        self.offsets = (0, *accumulate(self.sizes[:-1]))
        self.size = sum(self.sizes)
        rows = codes.astype(np.int64) + np.array(self.offsets)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.rows)

    def forward(self, items: Tensor) -> Tensor:
        """Return the tokens of items: (…) int64 → (…, L) int64.

        −1 stands for no item; what it gives is of no meaning.
        """
        found: Tensor = self.rows[items.clamp_min(0)]
        return found

    def codes(self, items: Tensor) -> Tensor:
        """Return the codes of items: (m,) int64 → (m, L) int64."""
        return self(items) - self.rows.new_tensor(self.offsets)

    def level(self, table: Tensor, level: int) -> Tensor:
        """Return the part of a table that a level has: (tokens, …) → (K_l, …)."""
        return table[self.offsets[level] : self.offsets[level] + self.sizes[level]]
