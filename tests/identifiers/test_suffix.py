from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.errors import BadInput
from semantic_ids.identifiers.suffix import with_suffix


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), max_size=30))
def test_suffix_counts_the_items_before_with_the_same_codes(rows):
    codes = np.array(rows, dtype=np.int32).reshape(-1, 2)
    ids, sizes = with_suffix(codes, (3, 2))
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids[:, :2], codes)
    assert ids[:, 2].tolist() == [rows[:row].count(code) for row, code in enumerate(rows)]
    assert sizes == (3, 2, max(Counter(rows).values(), default=1))


def test_keys_that_do_not_fit_are_bad_input():
    with pytest.raises(BadInput, match="2\\*\\*63"):
        with_suffix(np.zeros((3, 2), dtype=np.int32), (2**31, 2**31))
