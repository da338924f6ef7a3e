from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.metrics.distinct import Groups, distinct


@given(st.lists(st.integers(-3, 3), max_size=40))
def test_groups_are_numbered_by_their_first_rows_and_know_their_members(labels):
    groups = Groups.of(np.array(labels, dtype=np.int64))
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
