"""Strategy `reassign`: every item its own last-level code, at the least total distortion.

First the overfull prefixes send away whom they have no code for (`overflow`); then every group with
a collision is one assignment problem. A group without a collision is left as it is: each of its
items has the best code there is under its prefix. That holds for newcomers too. (Minimum-cost
reassignment of the last level within a prefix is the zero-collision repair of arXiv:2605.25330.)
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np

from semantic_ids.arrays import chunks, one_behind, workers
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

    The problems of a batch are solved in threads while the costs of the next one are computed.
    """
    groups = placement.colliding()
    large = groups.sizes * placement.last_size > DENSE_CELLS
    with Progress("reassign", total=len(groups.rows)) as progress, workers() as pool:
        for group in groups.select(large).batches(1):
            _settle_large(placement, group)
            progress.advance(len(group.rows))
        groups = groups.select(~large)
        for batch, costs, solved in one_behind(
            _begin(placement, batch, pool) for batch in groups.batches(placement.batch_rows)
        ):
            _finish(placement, batch, costs, solved)
            progress.advance(len(batch.rows))


def _begin(
    placement: Placement, batch: Groups, pool: Executor
) -> tuple[Groups, np.ndarray, Iterator[np.ndarray]]:
    """Compute the costs of a batch of groups, (m, K), and let the pool solve them."""
    costs = placement.costs(batch.rows)
    problems = [costs[start:stop] for start, stop in batch.spans()]
    return batch, costs, pool.map(assign_free, problems, map(placement.taken.free, batch.keys))


def _finish(
    placement: Placement, batch: Groups, costs: np.ndarray, solved: Iterator[np.ndarray]
) -> None:
    """Wait for the solutions and give every item its code."""
    last = np.concatenate(list(solved))
    paid = costs[np.arange(len(costs)), last].astype(np.float64)
    last, paid = in_row_order(batch.owner, placement.oracle.likeness(batch.rows), last, paid)
    placement.note_before(batch.rows, costs)
    placement.codes[batch.rows, -1] = last
    placement.after[batch.rows] = paid


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
