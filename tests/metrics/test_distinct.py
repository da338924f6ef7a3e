from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.metrics.distinct import Groups


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_groups_are_numbered_by_their_first_rows_and_know_their_members(labels):
    groups = Groups.of(np.array(labels))
    seen = list(dict.fromkeys(labels))
    assert groups.of_row.tolist() == [seen.index(label) for label in labels]
    assert groups.first.tolist() == [labels.index(label) for label in seen]
    assert groups.sizes.tolist() == [labels.count(label) for label in seen]
    assert groups.shared.tolist() == [labels.count(label) > 1 for label in labels]
    for number, label in enumerate(seen):
        rows = [row for row, other in enumerate(labels) if other == label]
        assert groups.members(number, 3).tolist() == rows[:3]
