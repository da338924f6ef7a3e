"""How far a mean over users would move with other users: the bootstrap's percentile interval.

Users are drawn with replacement, all targets of a user at once, for these are no independent cases
(B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13). It knows
nothing of what another seed of the training would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DRAWS = 1 << 22
"""Users drawn at a time."""


@dataclass(frozen=True, eq=False)
class Interval:
    """Means and where 95 % (or another share) of the resampled means are: each of shape (c,)."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def interval(
    values: np.ndarray,
    users: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the means over all cases, and their intervals.

    Args:
        values: Shape (t, c), float64: c measures of each case.
        users: Shape (t,), integers: whose case each is.
        resamples: How often users are drawn.
        seed: Equal seeds give equal draws, so figures of the same users can be compared.
        level: Share of the resampled means that is within.

    Returns:
        Three of shape (c,); NaN where there is no case.
    """
    nothing = np.full(values.shape[1], np.nan)
    if not len(values):
        return Interval(nothing, nothing, nothing)
    totals, cases = _by_user(values, users)
    means = np.empty((resamples, values.shape[1]))
    rng, n = np.random.default_rng(seed), len(cases)
    step = max(1, DRAWS // n)
    for begin in range(0, resamples, step):
        drawn = rng.integers(0, n, (min(step, resamples - begin), n), dtype=np.int32)
        drawn += (np.arange(len(drawn)) * n).astype(np.int32)[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        times = times.astype(np.float64)
        # numpy's own loops: a BLAS adds up in another order with another number of threads
        means[begin : begin + step] = np.einsum("ru,uc->rc", times, totals)
        means[begin : begin + step] /= np.einsum("ru,u->r", times, cases)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(totals.sum(axis=0) / cases.sum(), low, high)


def difference(
    values: np.ndarray,
    others: np.ndarray,
    users: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return how much larger the means of one ranker are than those of another, pair by pair.

    The cases of both are the same, in the same order, and so are the users drawn: the interval is
    much narrower than those of the two suggest. It leaves out 0 where the difference is more than
    chance among users.

    Args:
        values: Shape (t, c): measures of one.
        others: Shape (t, c): measures of the other.
        users: Shape (t,), integers: whose case each is.
        resamples: How often users are drawn.
        seed: Of the draws.
    """
    return interval(values - others, users, resamples=resamples, seed=seed)


def _by_user(values: np.ndarray, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of each user's cases and their number: (u, c), (u,), float64."""
    _, number = np.unique(users, return_inverse=True)
    cases = np.bincount(number).astype(np.float64)
    columns = [np.bincount(number, weights=column) for column in values.T]
    return np.stack(columns, axis=1) if columns else np.zeros((len(cases), 0)), cases
