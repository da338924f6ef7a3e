from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.identifiers.groups import Groups, Occupancy, colliding

small_keys = st.lists(st.integers(0, 6), max_size=40).map(
    lambda values: np.array(values, dtype=np.int64)
)


def expected_groups(row_keys):
    members = defaultdict(list)
    for row, key in enumerate(row_keys.tolist()):
        members[key].append(row)
    return dict(sorted(members.items()))


def as_dict(groups):
    return {
        int(key): groups.rows[start:stop].tolist()
        for key, (start, stop) in zip(groups.keys, groups.spans(), strict=True)
    }


@given(small_keys)
def test_groups_hold_the_rows_of_each_key_in_row_order(row_keys):
    groups = Groups.by(row_keys)
    assert as_dict(groups) == expected_groups(row_keys)
    assert groups.keys[groups.owner].tolist() == row_keys[groups.rows].tolist()


@given(small_keys, st.integers(1, 12))
def test_batches_are_whole_groups_and_no_larger_than_they_must(row_keys, most):
    groups = Groups.by(row_keys)
    batches = list(groups.batches(most))
    assert [entry for batch in batches for entry in as_dict(batch).items()] == list(
        as_dict(groups).items()
    )
    assert all(len(batch.rows) <= most or len(batch.keys) == 1 for batch in batches)


@given(small_keys)
def test_select_keeps_whole_groups(row_keys):
    groups = Groups.by(row_keys)
    assert as_dict(groups.select(groups.sizes > 2)) == {
        key: rows for key, rows in as_dict(groups).items() if len(rows) > 2
    }


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=30
    )
)
def test_colliding_groups_are_those_with_equal_codes(rows):
    codes = np.array(rows, dtype=np.int32)
    counts = Counter(rows)
    prefixes = {code[:2] for code, count in counts.items() if count > 1}
    expected = {
        a * 2 + b: [row for row, code in enumerate(rows) if code[:2] == (a, b)] for a, b in prefixes
    }
    assert as_dict(colliding(codes, (3, 2, 4))) == expected


@given(small_keys, small_keys, small_keys)
def test_occupancy_counts(first, second, asked):
    occupancy = Occupancy.of(first).add(second)
    counts = Counter(first.tolist() + second.tolist())
    assert occupancy.at(asked).tolist() == [counts[key] for key in asked.tolist()]
    assert occupancy.full(3).tolist() == sorted(key for key, count in counts.items() if count >= 3)
