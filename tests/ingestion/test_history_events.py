"""Events are put in order with a few bytes each."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from semantic_ids.ingestion.history_events import _put_in_order


@pytest.mark.parametrize("drop", [False, True])
def test_putting_events_in_order_takes_forty_bytes_an_event(drop):
    """What docs/recommend.md says, with the 17 that the events themselves take."""
    rng, n = np.random.default_rng(0), 200_000
    tracemalloc.start()
    try:
        events = {
            "user": rng.integers(0, n // 10, n, dtype=np.int32),
            "item": rng.integers(0, 50, n, dtype=np.int32),
            "time": rng.integers(0, 50, n),
            "part": np.zeros(n, np.int8),
        }
        before = {name: values.copy() for name, values in events.items()}
        held = sum(values.nbytes for values in before.values())
        tracemalloc.reset_peak()
        _put_in_order(events, drop=drop)
        peak = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    assert peak / n < 41
    names = ("user", "part", "time", "item")
    rows = list(zip(*(before[name].tolist() for name in names), strict=True))
    expected = sorted(set(rows) if drop else rows)
    assert list(zip(*(events[name].tolist() for name in names), strict=True)) == expected
