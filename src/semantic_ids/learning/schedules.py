"""Schedules: what the learning rate is multiplied with at a step, and other numbers that change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping


def constant(step: int, warmup: int, total: int) -> float:
    """Rise linearly over the warm-up, then stay."""
    return (step + 1) / warmup if step < warmup else 1.0


def cosine(step: int, warmup: int, total: int) -> float:
    """Rise linearly over the warm-up, then fall to zero by half a cosine."""
    return (
        constant(step, warmup, total)
        if step < warmup
        else 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    )


def one_cycle(step: int, warmup: int, total: int) -> float:
    """Rise over the warm-up by half a cosine, then fall to zero by another."""
    return (
        0.5 * (1 - math.cos(math.pi * (step + 1) / warmup))
        if step < warmup
        else cosine(step, warmup, total)
    )


SCHEDULES: Mapping[str, Callable[[int, int, int], float]] = {
    "cosine": cosine,
    "one_cycle": one_cycle,
    "constant": constant,
}
"""Schedule → what the rate is multiplied with at a step: (step, steps of the warm-up, all
steps)."""


def geometric(first: float, last: float, step: int, total: int) -> float:
    """Return a number that goes from the first to the last by equal factors."""
    return first * (last / first) ** (step / max(1, total - 1))
