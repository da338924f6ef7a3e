"""Overfull prefixes: more items than the last codebook has codes.

Those leave who lose least by leaving, and find room elsewhere.

A prefix is full once it has as many items as there are last-level codes. Room elsewhere is given
in the order of cost and row: an item takes the next best of the prefixes it was offered that still
has room, and one whose offers have all filled up is made new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import chain

import numpy as np

from semantic_ids.arrays import chunks, one_behind, workers
from semantic_ids.codes import ranks, unpack
from semantic_ids.grouping import Groups
from semantic_ids.identifiers.assignment import LEAVES, Contest, among, in_row_order
from semantic_ids.identifiers.groups import Occupancy
from semantic_ids.identifiers.offers import Offers, ask
from semantic_ids.identifiers.placement import Placement
from semantic_ids.identifiers.sparse_assignment import assign_sparse
from semantic_ids.progress import Progress

Result = tuple[np.ndarray, np.ndarray, np.ndarray]
"""What `Contest.stay` returns."""

DENSE_CELLS = 1 << 24
"""Costs of a contest that are held as a table (8 bytes each); larger ones are decided over few
candidates an item, to the same total."""

OFFERS_AT_A_TIME = 2**20
"""Offers that are made in one turn (16 bytes each)."""

FIRST_TURN, SMALLEST_TURN = 16384, 2048
"""Items that are made a new offer at a time, at first and at least. Near-duplicates want the same
few prefixes: to ask for all of them, while only few find room, would ask for the same item again
and again."""


def spill(placement: Placement, candidates: int) -> None:
    """Move items out of the overfull prefixes, until no prefix has more items than the last
    codebook has codes.

    Those who stay get their final codes; those who leave the best code under their new prefix,
    which may collide with another's.

    Args:
        placement: Changed in place.
        candidates: How many other prefixes an item is offered at a time.
    """
    groups = Groups.by(placement.prefix_keys())
    room = placement.taken.room(groups.keys)
    full = placement.taken.occupancy.full(placement.last_size)
    excluded = np.union1d(groups.keys[groups.sizes >= room], full)
    overfull = groups.select(groups.sizes > room)
    if len(overfull.rows):
        find_room(placement, *choose_leavers(placement, overfull, excluded, candidates), candidates)


def choose_leavers(
    placement: Placement, overfull: Groups, excluded: np.ndarray, candidates: int
) -> tuple[np.ndarray, Offers]:
    """Decide for every overfull group who stays, and with which code.

    Note it, and return the others.

    Returns:
        Row numbers of those who leave, shape (m,), and what they are offered elsewhere.
    """
    leavers, offers = [], []
    with Progress("overfull prefixes", total=len(overfull.rows)) as progress, workers() as pool:
        K = placement.last_size
        large = np.minimum(overfull.sizes, K * K) * K > DENSE_CELLS
        begun = chain(
            (
                _large_contest(placement, group, excluded, candidates)
                for group in overfull.select(large).batches(1)
            ),
            (
                _submit_contests(placement, batch, excluded, candidates, pool)
                for batch in overfull.select(~large).batches(placement.batch_rows)
            ),
        )
        # decided in threads, while the next batch is measured
        for batch, elsewhere, results in one_behind(begun):
            stays = _end_contests(placement, batch, elsewhere, results)
            leavers.append(batch.rows[~stays])
            offers.append(elsewhere.select(~stays))
            progress.advance(len(stays))
    return np.concatenate(leavers), Offers.concatenate(offers)


def _submit_contests(
    placement: Placement, batch: Groups, excluded: np.ndarray, candidates: int, pool: Executor
) -> tuple[Groups, Offers, Iterator[Result]]:
    """Enter all items of some groups, and let the pool decide.

    A group that is larger than a batch is entered piece by piece.

    Returns:
        The batch; what each item is offered elsewhere; and the groups' results.
    """
    contests = [Contest(placement.taken.free(int(key))) for key in batch.keys]
    elsewhere = ask(placement, batch.rows, candidates, excluded)
    for piece in chunks(len(batch.rows), placement.batch_rows):
        rows = batch.rows[piece]
        costs = placement.costs(rows)
        placement.note_before(rows, costs)
        values = costs - elsewhere.costs[piece, :1].astype(np.float64)
        for contest, (start, stop) in zip(contests, batch.spans(), strict=True):
            mine = np.arange(max(start, piece.start), min(stop, piece.stop))
            contest.enter(mine, values[mine - piece.start])
    return batch, elsewhere, pool.map(Contest.stay, contests)


def _large_contest(
    placement: Placement, group: Groups, excluded: np.ndarray, candidates: int
) -> tuple[Groups, Offers, Iterator[Result]]:
    """Decide one group whose costs are too many to be held; return what `_submit_contests` does."""
    elsewhere = ask(placement, group.rows, candidates, excluded)
    least = elsewhere.costs[:, 0].astype(np.float64)

    free = placement.taken.free(int(group.keys[0]))

    def values(items: np.ndarray) -> np.ndarray:
        return among(placement.costs(group.rows[items]), free) - least[items, None]

    last = np.full(len(least), LEAVES)
    if len(free):
        chosen = assign_sparse(values, len(least), len(free), placement.batch_rows)
        last[chosen != LEAVES] = free[chosen[chosen != LEAVES]]
    paid = placement.pay(group.rows, last) - least
    stays = np.flatnonzero(last != LEAVES)
    return group, elsewhere, iter([(stays, last[stays], paid[stays])])


def _end_contests(
    placement: Placement, batch: Groups, elsewhere: Offers, results: Iterator[Result]
) -> np.ndarray:
    """Give those who stay their codes; return who stays: shape (m,), bool."""
    last, paid = np.full(len(batch.rows), LEAVES, dtype=np.int64), np.full(len(batch.rows), np.inf)
    for items, codes, values in results:
        last[items], paid[items] = codes, values
    last, paid = in_row_order(batch.owner, placement.oracle.likeness(batch.rows), last, paid)
    stays = last != LEAVES
    placement.codes[batch.rows[stays], -1] = last[stays]
    placement.after[batch.rows[stays]] = (paid + elsewhere.costs[:, 0])[stays]
    return stays


def find_room(placement: Placement, leavers: np.ndarray, offers: Offers, candidates: int) -> None:
    """Give every item that left a prefix with room.

    All come with the offers they have from the contests. Whose offers have all filled up is made
    new ones, in the order of its cost, a turn at a time. Each turn places at least one item: the
    prefixes it is offered have room when the turn begins.

    Args:
        placement: Changed in place.
        leavers: Shape (m,): row numbers.
        offers: What they are offered.
        candidates: How many prefixes an item is offered at a time.
    """
    stays = np.ones(len(placement.codes), dtype=bool)
    stays[leavers] = False
    occupancy = Occupancy.of(placement.prefix_keys()[stays]).plus(placement.taken.occupancy)
    in_order = np.lexsort((leavers, offers.costs[:, 0]))
    rows, later, offers = leavers[in_order], leavers[:0], offers.select(in_order)
    largest = max(1, OFFERS_AT_A_TIME // candidates)
    with Progress("spill", total=len(leavers)) as progress:
        while True:
            taken = first_come(offers, rows, occupancy, placement.last_size)
            served = np.flatnonzero(taken >= 0)
            occupancy = occupancy.add(
                _move(placement, rows[served], offers.select(served), taken[served])
            )
            progress.advance(len(served))
            later = np.concatenate([rows[taken < 0], later])
            if not len(later):
                return
            turn = min(largest, FIRST_TURN, max(SMALLEST_TURN, 2 * len(served)))
            rows, later = later[:turn], later[turn:]
            offers = ask(placement, rows, candidates, occupancy.full(placement.last_size))


def _move(placement: Placement, rows: np.ndarray, offers: Offers, taken: np.ndarray) -> np.ndarray:
    """Give items the offers they took; return the prefixes, shape (m,)."""
    each = np.arange(len(rows))
    prefixes = offers.prefixes[each, taken]
    placement.codes[rows, :-1] = unpack(prefixes, placement.sizes[:-1])
    placement.codes[rows, -1] = offers.last[each, taken]
    placement.after[rows] = offers.costs[each, taken]
    return prefixes


def first_come(offers: Offers, rows: np.ndarray, occupancy: Occupancy, size: int) -> np.ndarray:
    """Let items take prefixes in the order of.

    (cost, row), each the first of its offers that still has room.

    Served one by one, a prefix ends up with the cheapest of those who come to it. So all may come
    at once: a prefix keeps the cheapest it has room for, the others turn to their next offer, and
    who was kept gives way to who is cheaper, until nobody moves. Items and prefixes rank a pair by
    the same cost, so both ways lead to the one stable matching (Gale and Shapley, "College
    admissions and the stability of marriage", The American Mathematical Monthly 69(1), 1962).

    Args:
        offers: Of m items.
        rows: Shape (m,): row numbers, which decide between equal costs.
        occupancy: How many items each prefix has.
        size: How many it has room for.

    Returns:
        Shape (m,), int64: number of the offer taken, or −1 where all had filled up.
    """
    prefixes, which = np.unique(offers.prefixes, return_inverse=True)
    which, room, made = which.reshape(len(rows), -1), size - occupancy.at(prefixes), offers.made()
    at = np.zeros(len(rows), dtype=np.int64)
    coming = np.arange(len(rows))
    wanted = np.zeros(len(prefixes), dtype=bool)
    while len(coming):
        wanted[:] = False
        wanted[which[coming, at[coming]]] = True
        inside = np.flatnonzero(at < made)
        inside = inside[wanted[which[inside, at[inside]]]]
        prefix = which[inside, at[inside]]
        order = np.lexsort((rows[inside], offers.costs[inside, at[inside]], prefix))
        inside, prefix = inside[order], prefix[order]
        coming = inside[ranks(prefix) >= room[prefix]]
        at[coming] += 1
        coming = coming[at[coming] < made[coming]]
    return np.where(at < made, at, -1)
