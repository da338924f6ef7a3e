"""Headroom against items that are drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.publishing.headroom import headroom

SIZES = (40, 50, 30)


def arrivals(n: int, seed: int) -> np.ndarray:
    """Prefixes of items, some far more frequent than others."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.5, 1, SIZES[0] * SIZES[1])
    return rng.choice(len(rates), n, p=rates / rates.sum())


def issued(prefixes: np.ndarray) -> np.ndarray:
    """IDs of items: the next free code under their prefix."""
    order = np.argsort(prefixes, kind="stable")
    starts = np.searchsorted(prefixes[order], prefixes[order])
    last = np.arange(len(prefixes)) - starts
    return np.stack([*np.divmod(prefixes[order], SIZES[1]), last], axis=1)[last < SIZES[2]]


def test_room_is_counted() -> None:
    every = issued(np.repeat([7, 9, 11], [30, 12, 30]))
    found = headroom(every, SIZES)
    assert found["append.free_rate"] == pytest.approx(1 - 72 / (40 * 50 * 30))
    assert found["append.full_prefixes"] == 2
    assert found["append.items_until_spill"] == 0  # most of what comes goes to the full ones


def until_spill(coming: np.ndarray, there: int) -> int:
    """Let items come one by one; return after how many the share that finds no ID passes 1 %."""
    room, lost, most = dict.fromkeys(range(SIZES[0] * SIZES[1]), SIZES[2]), 0, 0
    for number, prefix in enumerate(coming.tolist(), start=1):
        full = not room[prefix]
        room[prefix] -= not full
        if number > there:
            lost += full
            most = number - there if lost <= 0.01 * (number - there) else most
    return most


def test_items_come_until_one_in_a_hundred_has_to_leave_its_prefix() -> None:
    there, coming = 6000, [arrivals(40_000, seed) for seed in range(12)]
    found = [headroom(issued(one[:there]), SIZES)["append.items_until_spill"] for one in coming]
    assert np.mean(found) == pytest.approx(
        np.mean([until_spill(one, there) for one in coming]), rel=0.1
    )


def test_one_level_has_one_prefix() -> None:
    found = headroom(np.arange(60)[:, None], (100,))
    assert found == {
        "append.free_rate": pytest.approx(0.4),
        "append.full_prefixes": 0,
        "append.items_until_spill": 40,
    }
