"""Prices of codes near which the exact solution of an assignment problem is found sooner.

To take a price off a column of a square problem changes every solution's total alike, so any prices
leave the best solution what it is. With good ones, the dual variables of the problem, every row
likes best what it is given in the end, and a solver by shortest paths hardly has to look for any:
near-duplicates, which all want the same codes, are the slow case without. The prices here are the
dual variables of the problem with an entropy term, by a few scalings of its rows and columns
(M. Cuturi, "Sinkhorn distances", NIPS 2013; columns that need not be used as in J.-D. Benamou et
al., "Iterative Bregman projections for regularized transportation problems", SIAM Journal on
Scientific Computing 37(2), 2015).
"""

from __future__ import annotations

import numpy as np

TEMPERATURE = 0.05
"""Weight of the entropy, in standard deviations of a column. Higher ones tell less of what is
wanted, lower ones take more scalings."""
SCALINGS = 10
"""Of rows and columns."""
LEAST_SHARE, MOST = np.float32(1e-30), np.float32(60.0)
"""Bounds of shares and of the logarithms of scalings, so that float32 holds them."""


def without_prices(costs: np.ndarray) -> np.ndarray:
    """Return a square problem with the same solutions, that is solved sooner.

    Rows that are missing are rows of zeros, and come first: whatever is left over is theirs.

    Args:
        costs: Shape (m, K), m ≤ K.

    Returns:
        Shape (K, K), float64: the costs less the prices are the last m rows.
    """
    m, codes = costs.shape
    prices = _prices(costs)
    table = np.empty((codes, codes))
    table[: codes - m] = -prices
    np.subtract(costs, prices, out=table[codes - m :])
    return table


def _prices(costs: np.ndarray) -> np.ndarray:
    """Return about what codes are worth: (m, K) → (K,) float64.

    At most 0 where not every code is given away; all 0 where rounding leaves nothing of them.
    """
    m, codes = costs.shape
    costs = costs.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        means = costs.mean(axis=0)
        heat = np.float32(TEMPERATURE) * (costs - means).std()
        prices, most = means - np.partition(means, m - 1)[m - 1], np.full(codes, MOST)
        if m < codes:
            prices = np.minimum(prices, 0)
            most = np.minimum(-prices / heat, MOST)
        prices = prices + heat * np.log(_scalings(costs - prices, heat, np.exp(most)))
    if not np.isfinite(prices).all():  # nothing differs, or too much for float32
        return np.zeros(codes)
    return (prices if m == codes else np.minimum(prices, 0)).astype(np.float64)


def _scalings(costs: np.ndarray, heat: np.floating, most: np.ndarray) -> np.ndarray:
    """Scale rows and columns by turns until both sum up to about 1: (m, K) → those of the columns.

    Args:
        costs: Shape (m, K).
        heat: Weight of the entropy.
        most: Shape (K,): the largest scaling of each column.
    """
    shares = np.exp((costs.min(axis=1, keepdims=True) - costs) / heat)
    np.maximum(shares, LEAST_SHARE, out=shares)
    turned = np.ascontiguousarray(shares.T)
    columns = np.ones(costs.shape[1], dtype=np.float32)
    for _ in range(SCALINGS):  # products of one thread, whose order is fixed
        columns = np.minimum(1 / np.vecdot(turned, 1 / np.vecdot(shares, columns)), most)
    return columns
