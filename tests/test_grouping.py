from __future__ import annotations

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.grouping import Groups, Partition, distinct

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


@given(st.lists(st.integers(-3, 3), max_size=40))
def test_a_partition_is_numbered_by_their_first_rows_and_knows_their_members(labels):
    groups = Partition.of(np.array(labels, dtype=np.int64))
    assert distinct(np.array(labels, dtype=np.int64)) == len(groups) == len(set(labels))
    seen = list(dict.fromkeys(labels))
    assert groups.of_row.tolist() == [seen.index(label) for label in labels]
    assert groups.first.tolist() == [labels.index(label) for label in seen]
    assert groups.sizes.tolist() == [labels.count(label) for label in seen]
    assert groups.shared.tolist() == [labels.count(label) > 1 for label in labels]
    asked = np.arange(len(seen))[::2]
    members = groups.members(asked, 3)
    assert list(members) == asked.tolist()
    for number in members:
        rows = [row for row, other in enumerate(labels) if other == seen[number]]
        assert members[number].tolist() == rows[:3]
