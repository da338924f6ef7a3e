"""Strategy `reassign`: every item its own last-level code, at the least total distortion.

First the overfull prefixes send away whom they have no code for (`overflow`); then every group with
a collision is one assignment problem. A group without a collision is left as it is: each of its
items has the best code there is under its prefix. That holds for newcomers too. (Minimum-cost
reassignment of the last level within a prefix is the zero-collision repair of arXiv:2605.25330.)
"""

from __future__ import annotations

from functools import partial

import numpy as np

from semantic_ids.arrays import chunks, in_threads
from semantic_ids.contract import CostOracle
from semantic_ids.grouping import Groups
from semantic_ids.identifiers.assignment import among, assign_free, in_row_order
from semantic_ids.identifiers.overflow import spill
from semantic_ids.identifiers.placement import Placement
from semantic_ids.identifiers.sparse_assignment import assign_sparse
from semantic_ids.progress import Progress

DENSE_CELLS = 1 << 23
"""Costs of a group that are held and solved as a table; larger ones are solved over few candidates
an item, to the same total."""


def reassign(
    codes: np.ndarray, oracle: CostOracle, candidates: int, taken: np.ndarray | None = None
) -> tuple[np.ndarray, float, float]:
    """Make codes unique.

    Args:
        codes: Shape (n, L), int32, n at most the product of the codebook sizes.
        oracle: What codes cost the n items, in the order of the item hash.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        taken: Shape (o, L): IDs that none of the items may have, None for none; n + o is at most
            that product.

    Returns:
        The unique codes, shape (n, L) int32, and the total distortion before and after.
    """
    placement = Placement(oracle, codes, taken)
    spill(placement, candidates)
    settle(placement)
    measure_rest(placement)
    return placement.codes, float(placement.before.sum()), float(placement.after.sum())


def settle(placement: Placement) -> None:
    """Solve the assignment problem of every group with a collision.

    No group may be larger than the last codebook.

    A batch of groups is one thread's, from reading vectors to the solutions.
    """
    groups = placement.colliding()
    large = groups.sizes * placement.last_size > DENSE_CELLS
    with Progress("reassign", total=len(groups.rows)) as progress:
        for group in groups.select(large).batches(1):
            _settle_large(placement, group)
            progress.advance(len(group.rows))
        batches = placement.batches(groups.select(~large))
        for batch, last, paid in in_threads(partial(_solve, placement), batches):
            placement.codes[batch.rows, -1] = last
            placement.after[batch.rows] = paid
            progress.advance(len(batch.rows))


def _solve(placement: Placement, batch: Groups) -> tuple[Groups, np.ndarray, np.ndarray]:
    """Solve the problems of a batch of groups, and note what its items cost before.

    Returns:
        The batch; the last-level code of each item, (m,), and what it costs, (m,).
    """
    costs = placement.costs(batch.rows)
    placement.note_before(batch.rows, costs)
    last = np.concatenate(
        [
            assign_free(costs[start:stop], placement.taken.free(int(key)))
            for key, (start, stop) in zip(batch.keys, batch.spans(), strict=True)
        ]
    )
    paid = costs[np.arange(len(costs)), last].astype(np.float64)
    likeness = placement.oracle.likeness(batch.rows)
    return batch, *in_row_order(batch.owner, likeness, last, paid)


def _settle_large(placement: Placement, group: Groups) -> None:
    """Solve the problem of one group whose costs are too many to be held.

    The placement is changed in place.
    """
    rows, free = group.rows, placement.taken.free(int(group.keys[0]))

    def costs_of(items: np.ndarray) -> np.ndarray:
        return among(placement.costs(rows[items]), free)

    last = free[assign_sparse(costs_of, len(rows), len(free), placement.batch_rows)]
    owner, paid = np.zeros(len(rows), dtype=np.int64), placement.pay(rows, last)
    last, paid = in_row_order(owner, placement.oracle.likeness(rows), last, paid)
    placement.codes[rows, -1] = last
    placement.after[rows] = paid


def measure_rest(placement: Placement) -> None:
    """Note the distortion of the items that nothing has touched."""
    rest = np.flatnonzero(np.isnan(placement.before))
    with Progress("distortion", total=len(rest)) as progress:
        for piece in chunks(len(rest)):
            rows = rest[piece]
            placement.before[rows] = placement.after[rows] = placement.distortion(rows)
            progress.advance(len(rows))
