"""The assignment problem of a large group, exactly, without a table of all its costs.

A group of 65,536 items under a codebook of as many codes has a table of 17 GB, and the time of a
dense solver is cubic. But an item takes one of the codes nearest to it, nearly always. So the
problem is solved over few candidates an item, and proven: with the prices of the codes (the dual
variables) no item may prefer a code that was not among its candidates. Where one does, these codes
become candidates too, and the problem is solved again, until the proof holds (column generation
with a warm set of columns; the optimality conditions are those of linear programming, e.g.
R. Burkard, M. Dell'Amico and S. Martello, "Assignment Problems", SIAM 2012, chapter 4).

Where there are more items than codes, every code is given away and the other items leave, which
costs nothing: costs are then differences to what an item would pay elsewhere (`assignment.Contest`
is the same with a table). The codes' prices are bounded by the largest cost there is instead of
by 0, and an item that leaves may not prefer any code at its price.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.identifiers.assignment import LEAVES

CANDIDATES, FEWEST = 128, 4
"""Nearest codes an item starts with, and at least where there are very many items."""
MORE = 64
"""Codes that an item gets at most in a round where it prefers others."""
PAIRS = 1 << 23
"""Pairs of items and codes to start with, at most: 24 bytes each, and as many to sort them."""
TOLERANCE = 1e-9
"""What an item may gain by another code, as a share of the largest cost: rounding."""

Costs = Callable[[np.ndarray], np.ndarray]
"""Costs of some items with every code: (p,) item numbers → (p, K)."""


def assign_sparse(costs: Costs, m: int, codes: int, piece: int) -> np.ndarray:
    """Give each item a code of its own at the least total cost, or each code an item.

    Args:
        costs: Called for at most `piece` items at a time, more than once for some of them.
        m: Items. Where there are more than codes, m − K of them leave.
        codes: Codes K.
        piece: Items whose costs are held at a time.

    Returns:
        Shape (m,), int64: the codes, `LEAVES` for those that leave.
    """
    if m == codes:  # every code is given away, so what it costs everybody decides nothing
        least = np.full(codes, np.inf)
        for part in chunks(m, piece):
            np.minimum(least, costs(np.arange(part.start, part.stop)).min(axis=0), out=least)
        problem = _Candidates(lambda rows: costs(rows) - least, m, codes, piece)
    else:
        problem = _Candidates(costs, m, codes, piece)
    while True:
        chosen = problem.solve()
        if not problem.extend(chosen, problem.prices(chosen)):
            return chosen


class _Candidates:
    """Pairs of items and codes that are allowed, with their costs.

    Attributes:
        items, code, values: Shape (e,): item, code and cost of each pair, sorted by item and
            code.
    """

    def __init__(self, costs: Costs, m: int, codes: int, piece: int) -> None:
        self.costs, self.m, self.codes, self.piece = costs, m, codes, piece
        self.reach = np.empty(m)
        keep = min(CANDIDATES, codes, max(FEWEST, PAIRS // m))
        self.more = min(MORE, keep)
        found, values = np.empty((m, keep), dtype=np.int64), np.empty((m, keep))
        spare = np.empty(min(m, codes))  # item i with code i: always a solution
        most = -np.inf
        for part in chunks(m, piece):
            rows = np.arange(part.start, part.stop)
            table = costs(rows)
            near = np.argpartition(table, keep - 1, axis=1)[:, :keep]
            found[part], values[part] = near, np.take_along_axis(table, near, axis=1)
            self.reach[part] = values[part].max(axis=1) if keep < codes else np.inf
            own = rows[rows < codes]
            spare[own] = table[np.arange(len(own)), own]
            most = max(most, float(table.max()))
        self.tolerance = TOLERANCE * max(float(np.abs(values).max()), float(np.abs(spare).max()))
        self.highest = most if m > codes else 0.0
        each = np.arange(len(spare))
        self._merge(
            np.concatenate([np.repeat(np.arange(m), keep), each]),
            np.concatenate([found.ravel(), each]),
            np.concatenate([values.ravel(), spare]),
        )

    def _merge(self, items: np.ndarray, code: np.ndarray, values: np.ndarray) -> None:
        """Keep each pair once, sorted."""
        _, first = np.unique(items * self.codes + code, return_index=True)
        self.items, self.code, self.values = items[first], code[first], values[first]

    def solve(self) -> np.ndarray:
        """Solve the problem over the candidates: shape (m,), `LEAVES` for items without a code."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import min_weight_full_bipartite_matching

        above = self.values - self.values.min() + 1.0  # a cost of 0 would be no pair
        starts = np.searchsorted(self.items, np.arange(self.m + 1))
        graph = csr_array((above, self.code, starts), shape=(self.m, self.codes))
        items, chosen = min_weight_full_bipartite_matching(graph)
        result = np.full(self.m, LEAVES, dtype=np.int64)
        result[items] = chosen
        return result

    def prices(self, chosen: np.ndarray) -> np.ndarray:
        """Return what codes are worth to others, (K,): at most 0 and 0 for free codes, or at most
        the largest cost where every code is given away.

        At what codes cost an item less their prices, every item has, of its candidates, the one it
        likes best. They are the lengths of shortest paths along which items could move on to
        others' codes (Bellman and Ford): a pair (i, k) says price(k) ≤ price(own code) + cost(i, k)
        − cost(i, own code), with 0 and 0 for an item that has left.
        """
        own = chosen[self.items]
        more = self.values - self._paid(chosen)[self.items]
        order = np.argsort(self.code, kind="stable")
        begins = np.flatnonzero(np.diff(self.code[order], prepend=-1))
        reached, own, more = self.code[order][begins], own[order], more[order]
        prices = np.full(self.codes + 1, self.highest)
        prices[LEAVES] = 0.0
        for _ in range(self.codes + 1):
            lower = np.minimum.reduceat(prices[own] + more, begins)
            falls = lower < prices[reached] - self.tolerance
            if not falls.any():
                return prices[:-1]
            prices[reached[falls]] = lower[falls]
        raise RuntimeError("an assignment was not the best over its candidates; please report this")

    def _paid(self, chosen: np.ndarray) -> np.ndarray:
        """Return what each item's code costs it, 0 where it left: shape (m,)."""
        mine = chosen[self.items] == self.code
        paid = np.zeros(self.m)
        paid[self.items[mine]] = self.values[mine]
        return paid

    def extend(self, chosen: np.ndarray, prices: np.ndarray) -> bool:
        """Add the codes that items prefer at these prices; return whether there are any."""
        content = self._paid(chosen) - np.append(prices, 0.0)[chosen]
        # A code farther than all candidates costs at least its distance less the highest price.
        doubtful = np.flatnonzero(content > self.reach - prices.max())
        pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for part in chunks(len(doubtful), self.piece):
            rows = doubtful[part]
            table = self.costs(rows)
            gain = content[rows, None] - (table - prices)
            row, code = np.nonzero(gain > 2 * self.tolerance)
            best = np.lexsort((code, -gain[row, code], row))
            row, code = row[best], code[best]
            rank = np.arange(len(row)) - np.searchsorted(row, row)
            row, code = row[rank < self.more], code[rank < self.more]
            pairs.append((rows[row], code, table[row, code].astype(np.float64)))
        before = len(self.items)
        if pairs:
            new = [np.concatenate(found) for found in zip(*pairs, strict=True)]
            known = (self.items, self.code, self.values)
            self._merge(*(np.concatenate(both) for both in zip(known, new, strict=True)))
        return len(self.items) > before
