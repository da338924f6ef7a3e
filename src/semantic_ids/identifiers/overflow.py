"""Overfull prefixes: more items than the last codebook has codes. Those leave who lose least by leaving, and find room elsewhere.

A prefix is closed once it has as many items as there are last-level codes. Room elsewhere is given in the order of cost and row: an item
takes the next best of the prefixes it was offered that still has room, and one whose offers have all filled up is made new ones.
"""

from __future__ import annotations

import heapq

import numpy as np

from semantic_ids.arrays import chunks, read_rows
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers.assignment import LEAVES, Contest, in_row_order
from semantic_ids.identifiers.groups import Groups, Occupancy
from semantic_ids.identifiers.offers import Offers, ask, search
from semantic_ids.identifiers.placement import Placement
from semantic_ids.progress import Progress

OFFERS_AT_A_TIME = 2**20
"""Offers that are held at once (24 bytes each, and the heap's share)."""

FIRST_TURN, SMALLEST_TURN = 16384, 2048
"""Items that are made an offer at a time, at first and at least. Near-duplicates want the same few prefixes: to ask for all of them, while
only few find room, would ask for the same item again and again."""


def spill(placement: Placement, candidates: int) -> None:
    """Move items out of the overfull prefixes, until no prefix has more items than the last codebook has codes.

    Those who stay get their final codes; those who leave the best code under their new prefix, which may collide with another's.

    Args:
        placement: Changed in place.
        candidates: How many other prefixes an item is offered at a time.
    """
    groups = Groups.by(placement.prefix_keys())
    closed = groups.keys[groups.sizes >= placement.last_size]
    overfull = groups.select(groups.sizes > placement.last_size)
    leavers, losses = choose_leavers(placement, overfull, closed)
    if len(leavers):
        find_room(placement, leavers[np.lexsort((leavers, losses))], candidates)


def choose_leavers(placement: Placement, overfull: Groups, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decide for every overfull group who stays, and with which code; note it, and return the others.

    Returns:
        Row numbers of those who leave, and their cost under the best other prefix with room: two of shape (m,).
    """
    leavers, losses = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    with Progress("overfull prefixes", total=len(overfull.rows)) as progress:
        for batch in overfull.batches(placement.batch_rows):
            elsewhere, likeness, contests = _hold_contests(placement, batch, closed)
            last, paid = _outcome(contests, batch, likeness)
            stays = last != LEAVES
            placement.codes[batch.rows[stays], -1] = last[stays]
            placement.after[batch.rows[stays]] = (paid + elsewhere)[stays]
            leavers.append(batch.rows[~stays])
            losses.append(elsewhere[~stays])
            progress.advance(len(batch.rows))
    return np.concatenate(leavers), np.concatenate(losses)


def _hold_contests(placement: Placement, batch: Groups, closed: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[Contest]]:
    """Enter all items of some groups; a group that is larger than a batch is entered piece by piece.

    Returns:
        Each item's cost elsewhere, shape (m,) float64; a hash of its values, shape (m,) uint64; and the groups' contests.
    """
    contests = [Contest(placement.last_size) for _ in batch.keys]
    elsewhere, likeness = np.empty(len(batch.rows)), np.empty(len(batch.rows), dtype=np.uint64)
    for piece in chunks(len(batch.rows), placement.batch_rows):
        rows = batch.rows[piece]
        vectors = read_rows(placement.vectors, rows)
        costs = placement.costs_of(vectors, rows)
        placement.note_before(rows, costs)
        elsewhere[piece] = search(placement, vectors, 1, closed)[1][:, 0]
        values = costs - elsewhere[piece, None]
        likeness[piece] = vector_hash(values)
        for contest, (start, stop) in zip(contests, batch.spans(), strict=True):
            mine = np.arange(max(start, piece.start), min(stop, piece.stop))
            contest.enter(mine, values[mine - piece.start])
    return elsewhere, likeness, contests


def _outcome(contests: list[Contest], batch: Groups, likeness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of each item, `LEAVES` for those who leave, and its value, inf for those: two of shape (m,)."""
    last, paid = np.full(len(batch.rows), LEAVES, dtype=np.int64), np.full(len(batch.rows), np.inf)
    for contest in contests:
        items, codes, values = contest.stay()
        last[items], paid[items] = codes, values
    return in_row_order(batch.owner, likeness, last, paid)


def find_room(placement: Placement, leavers: np.ndarray, candidates: int) -> None:
    """Give every item that left a prefix with room.

    Each turn places at least one item: the prefixes it is offered have room when the turn begins.

    Args:
        placement: Changed in place.
        leavers: Row numbers, in the order in which they are served: by cost elsewhere, then by row.
        candidates: How many prefixes an item is offered at a time.
    """
    stays = np.ones(len(placement.codes), dtype=bool)
    stays[leavers] = False
    occupancy = Occupancy.of(placement.prefix_keys()[stays])
    largest = max(1, OFFERS_AT_A_TIME // candidates)
    turn = min(FIRST_TURN, largest)
    with Progress("spill", total=len(leavers)) as progress:
        while len(leavers):
            rows, later = leavers[:turn], leavers[turn:]
            offers = ask(placement, rows, candidates, occupancy.full(placement.last_size))
            taken = first_come(offers, rows, occupancy, placement.last_size)
            served = np.flatnonzero(taken >= 0)
            _move(placement, rows[served], offers, served, taken[served])
            occupancy = occupancy.add(offers.prefixes[served, taken[served]])
            leavers = np.concatenate([rows[taken < 0], later])
            turn = min(largest, max(SMALLEST_TURN, 2 * len(served)))
            progress.advance(len(served))


def _move(placement: Placement, rows: np.ndarray, offers: Offers, which: np.ndarray, taken: np.ndarray) -> None:
    placement.codes[rows] = offers.codes[which, taken]
    placement.after[rows] = offers.costs[which, taken]


def first_come(offers: Offers, rows: np.ndarray, occupancy: Occupancy, size: int) -> np.ndarray:
    """Let items take prefixes in the order of (cost, row), each the first of its offers that still has room.

    Args:
        offers: Of m items.
        rows: Shape (m,): row numbers, which decide between equal costs.
        occupancy: How many items each prefix has.
        size: How many it has room for.

    Returns:
        Shape (m,), int64: number of the offer taken, or −1 where all had filled up.
    """
    prefixes, which = np.unique(offers.prefixes, return_inverse=True)
    room = (size - occupancy.at(prefixes)).tolist()
    wanted: list[list[int]] = which.reshape(len(rows), -1).tolist()
    costs: list[list[float]] = offers.costs.tolist()
    made: list[int] = offers.made().tolist()
    taken = np.full(len(rows), -1, dtype=np.int64)
    queue: list[tuple[float, int, int, int]] = [(costs[item][0], row, item, 0) for item, row in enumerate(rows.tolist())]
    heapq.heapify(queue)
    while queue:
        _, row, item, offer = heapq.heappop(queue)
        prefix = wanted[item][offer]
        if room[prefix] > 0:
            room[prefix] -= 1
            taken[item] = offer
        elif offer + 1 < made[item]:
            heapq.heappush(queue, (costs[item][offer + 1], row, item, offer + 1))
    return taken
