from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.test_grouping import as_dict, small_keys

from semantic_ids.identifiers.groups import Occupancy
from semantic_ids.identifiers.placement import Placement

SIZES = (3, 2, 4)
CODES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=30
)


@given(CODES, CODES | st.none())
def test_colliding_groups_are_those_with_equal_codes_or_taken_ones(rows, taken):
    codes = np.array(rows, dtype=np.int32)
    counts = Counter(rows)
    out = set(taken or [])
    prefixes = {code[:2] for code, count in counts.items() if count > 1 or code in out}
    expected = {
        a * 2 + b: [row for row, code in enumerate(rows) if code[:2] == (a, b)] for a, b in prefixes
    }
    issued = None if taken is None else np.array(taken, dtype=np.int32)
    placement = Placement(SimpleNamespace(sizes=SIZES), codes, issued)
    assert as_dict(placement.colliding()) == expected


@given(small_keys, small_keys, small_keys)
def test_occupancy_counts(first, second, asked):
    occupancy = Occupancy.of(first).add(second)
    counts = Counter(first.tolist() + second.tolist())
    assert occupancy.at(asked).tolist() == [counts[key] for key in asked.tolist()]
    assert occupancy.full(3).tolist() == sorted(key for key, count in counts.items() if count >= 3)
