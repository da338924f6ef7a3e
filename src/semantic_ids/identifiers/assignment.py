"""The assignment problem of one group.

Who gets which last-level code, and, in an overfull group, who stays.

Both are solved exactly by scipy's `linear_sum_assignment` (D. F. Crouse, "On implementing 2D
rectangular assignment algorithms", IEEE Transactions on Aerospace and Electronic Systems 52(4),
2016). Its choice among equally good solutions is then made canonical by `in_row_order`.
"""

from __future__ import annotations

import numpy as np

from semantic_ids.identifiers.prices import without_prices

LEAVES = -1
"""Code of an item that leaves its group."""
CROWDED = 2
"""Codes an item, up to which prices are made: they save nothing where most codes stay free."""


def assign(costs: np.ndarray) -> np.ndarray:
    """Give each item a code of its own at the least total cost.

    Items that are nearly alike all want the same codes, and to settle that one by one is the slow
    case: where many codes are given away, about what they are worth is taken off beforehand.

    Args:
        costs: Shape (m, K), m ≤ K.

    Returns:
        Shape (m,), int64: the codes.
    """
    m, codes = costs.shape
    if CROWDED * m < codes or m < 2:
        return _least(costs)
    return _least(without_prices(costs))[codes - m :]


def _least(costs: np.ndarray) -> np.ndarray:
    """Return the column of each row at the least total cost: (m, K), m ≤ K → (m,) int64."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(costs)[1]


def assign_free(costs: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Give each item one of the free codes: (m, K) costs, (f,) codes with m ≤ f ≤ K → (m,)."""
    return free[assign(among(costs, free))]


def among(costs: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Keep the costs of free codes: (m, K) → (m, f), not copied where all are free."""
    return costs if len(free) == costs.shape[1] else costs[:, free]


class Contest:
    """Who of an overfull group stays, and with which code; the others leave.

    The problem is to minimise Σ_stay c(i, k) + Σ_leave e_i, c(i, k) being the cost of item i with
    code k, e_i its cost elsewhere, and K of the n items staying. With Σ_i e_i taken off, which does
    not depend on who stays, it is Σ_stay (c(i, k) − e_i): a rectangular problem of K codes and n
    items. It has the solutions of the n × n problem that has n − K more columns, each holding e_i,
    in K / n of the memory.

    Of the n items only few can win: let a code be held by an item that is not among the K with the
    least c(·, k) − e for it. The other codes hold at most K − 1 of those K, so one of them is free,
    and putting it there costs no more. So some best solution gives every code to one of its K best
    items, and at most K² items need be kept, however large the group is. Of equally good items the
    first rows are kept.

    Args:
        free: Shape (K,), ascending: the codes that there are, those of the codebook that nobody
            else has. There may be none: then all leave.
    """

    def __init__(self, free: np.ndarray) -> None:
        self._free = free
        self._values = np.empty((0, len(free)))
        self._items = np.empty(0, dtype=np.int64)

    def enter(self, items: np.ndarray, values: np.ndarray) -> None:
        """Let more items take part; every call names later items than the one before.

        Args:
            items: Shape (m,), ascending.
            values: Shape (m, size of the codebook), float64: c(i, k) − e_i.
        """
        values = np.concatenate([self._values, among(values, self._free)])
        wins = _among_best(values)
        self._values, self._items = values[wins], np.concatenate([self._items, items])[wins]

    def stay(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the K items that stay, their codes, and their values c − e.

        Three of shape (K,).
        """
        if not len(self._free):
            return np.zeros(0, np.int64), self._free, np.zeros(0)
        winners = _least(self._values.T)
        return self._items[winners], self._free, self._values[winners, np.arange(len(winners))]


def _among_best(values: np.ndarray) -> np.ndarray:
    """Mark the items that are among the K best of some code, the first rows of equally good ones.

    (m, K) → (m,) bool.
    """
    m, K = values.shape
    if m <= K or not K:
        return np.full(m, bool(K))
    by_code = np.ascontiguousarray(values.T)
    last = np.partition(by_code, K - 1, axis=1)[:, K - 1 : K]
    below, level = by_code < last, by_code == last
    return (
        below
        | (
            level
            & (np.cumsum(level, axis=1, dtype=np.int32) <= K - below.sum(axis=1, keepdims=True))
        )
    ).any(axis=0)


def in_row_order(
    owner: np.ndarray, likeness: np.ndarray, codes: np.ndarray, costs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Among items of a group that are all alike, give the first row the cheapest code, the next row
    the next.

    Items with equal vectors have equal costs, so any exchange of their codes is as good; this makes
    the choice one of item hash alone.

    Args:
        owner: Shape (m,): number of each row's group.
        likeness: Shape (m,), uint64: equal for items with the same vector.
        codes: Shape (m,): codes given, `LEAVES` for those that leave.
        costs: Shape (m,): cost of the code given, inf for those that leave.

    Returns:
        The codes and costs, exchanged among items that are alike: two of shape (m,).
    """
    by_row = np.lexsort((likeness, owner))
    by_cost = np.lexsort((codes, costs, likeness, owner))
    codes_in_order, costs_in_order = np.empty_like(codes), np.empty_like(costs)
    codes_in_order[by_row], costs_in_order[by_row] = codes[by_cost], costs[by_cost]
    return codes_in_order, costs_in_order
