"""Refinement for unique IDs where the fit sees a part of the items: on whole prefix groups.

Which last-level codes are free under a prefix follows from all items of that prefix and, as long as
there are no more of them than codes, from no others. So some prefixes are drawn, all of their items
are read, and the last codebook is solved for the codes that are unique in each group. The codebooks
before it are unchanged: items of few prefixes say too little about them (docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks
from semantic_ids.codes import keys
from semantic_ids.contract import Assign
from semantic_ids.grouping import Groups
from semantic_ids.hashing import mix
from semantic_ids.quantization.costs import TensorCosts
from semantic_ids.quantization.refinement import Round, encode, refine
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.options import RQKMeansOptions

DRAW = np.uint64(0x6E0)
"""Added to the key of a prefix before it is mixed: which prefixes are drawn."""

CROWDED = 8
"""Items of a group, squared, as a multiple of the last codebook's size, from where on two of them
have the same nearest code as good as always (98 of 100 times, were codes drawn at random). All
items of such groups are given codes by their costs, so the nearest ones are not looked for."""


def draw_groups(prefixes: np.ndarray, sizes: Sequence[int], most: int) -> np.ndarray:
    """Draw prefixes by a hash of theirs, and return their items.

    A prefix with more items than the last level has codes is never drawn: who has to leave it, and
    for where, follows from all the others.

    Args:
        prefixes: Shape (n, L − 1), int32: of all items.
        sizes: The L codebook sizes.
        most: How many items at most; there are fewer by less than the next group.

    Returns:
        Shape (m,): row numbers, ascending.
    """
    groups = Groups.by(keys(prefixes, sizes))
    groups = groups.select(groups.sizes <= int(sizes[-1]))
    order = np.argsort(mix(groups.keys.astype(np.uint64) + DRAW), kind="stable")
    drawn = np.zeros(len(order), dtype=bool)
    drawn[order[np.cumsum(groups.sizes[order]) <= most]] = True
    return np.sort(groups.select(drawn).rows)


@dataclass
class LastLevelCosts:
    """A `contract.CostOracle` for items that keep their prefix.

    Attributes:
        rest: What the last-level codes cost the items, given what their prefixes left over: codes
            of one level.
        sizes: The L codebook sizes.
    """

    rest: TensorCosts
    sizes: tuple[int, ...]

    def level_costs(self, rows: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """See `CostOracle`; the prefixes are the items' own."""
        return self.rest.level_costs(rows, prefixes[:, :0])

    def candidates(
        self, rows: np.ndarray, t: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Never asked, as no group has more items than codes."""
        raise RuntimeError("a whole group was drawn that has no room; please report this")

    def distortion(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self.rest.distortion(rows, codes[:, -1:])

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self.rest.likeness(rows)


def refine_last_level(
    rest: Tensor,
    prefixes: np.ndarray,
    codebook: Tensor,
    sizes: Sequence[int],
    assign: Assign,
    hashes: np.ndarray,
    options: RQKMeansOptions,
) -> Iterator[Round]:
    """Solve the last codebook for the unique codes of whole prefix groups, round after round.

    Args:
        rest: Shape (m, d): what the prefixes of the items leave over.
        prefixes: Shape (m, L − 1), int32: the items' prefixes, which they keep.
        codebook: Shape (K_L, d): the last codebook.
        sizes: The L codebook sizes.
        assign: Makes codes unique.
        hashes: Shape (m,), uint64: `hashing.vector_hash` of the items' stored vectors.
        options: How many rounds, and when they end.
    """
    groups = Groups.by(keys(prefixes, sizes))
    roomy = groups.select(groups.sizes**2 < CROWDED * int(sizes[-1])).rows
    codes = np.column_stack([prefixes, np.zeros(len(prefixes), dtype=np.int32)])

    def unique(last: ResidualQuantizer) -> Tensor:
        for piece in chunks(len(roomy)):
            rows = roomy[piece]
            codes[rows, -1] = encode(rest[rows], last, 1, 1)[0][:, 0, 0].cpu().numpy()
        costs = LastLevelCosts(TensorCosts(rest, last, hashes), tuple(int(k) for k in sizes))
        found = assign(codes, costs)
        return torch.from_numpy(found[:, -1:].astype(np.int64)).to(rest.device)

    return refine(
        rest,
        [codebook],
        unique,
        rounds=options.unique_rounds,
        gain=options.refine_gain,
        ridge=options.ridge,
    )
