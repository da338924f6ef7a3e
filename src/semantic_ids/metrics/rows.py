"""Arithmetic on rows, in float64.

The result for a row depends on that row alone, never on its place or its neighbours.
"""

from __future__ import annotations

import numpy as np

ROWS = 1024
"""Rows worked on at a time: few enough that their float64 copies stay in the processor's cache,
which makes a pass several times faster."""


def dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the product of each row of `a` with the same row of `b`.

    (m, D), (m, D) float64 → (m,) float64.
    """
    return np.vecdot(a, b)


def unit(x: np.ndarray) -> np.ndarray:
    """Bring each row to unit length; a zero row stays zero. (m, D) → (m, D) float64."""
    x = np.asarray(x, dtype=np.float64)
    norms = np.sqrt(dots(x, x))
    return x / np.where(norms > 0, norms, 1.0)[:, None]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of each row of `a` with the same row of `b`, 0 where one of them is zero.

    (m, D), (m, D) → (m,) float64.
    """
    norms = np.sqrt(dots(a, a)) * np.sqrt(dots(b, b))
    return np.divide(dots(a, b), norms, out=np.zeros(len(a)), where=norms > 0)


def ratio(part: float, whole: float) -> float:
    """Return part / whole: 0 of nothing is 0, and something of nothing is infinite."""
    return part / whole if whole > 0 else (float("inf") if part > 0 else 0.0)
