"""Catalogues of IDs for hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st


@st.composite
def catalogues(draw, most=30):
    """IDs of one level and of several, of odd sizes, shared ones too; and how many codes a level
    has.
    """
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8]), min_size=1, max_size=4))
    row = st.tuples(*(st.integers(0, k - 1) for k in sizes))
    rows = draw(st.lists(row, min_size=1, max_size=most))
    return np.array(rows, dtype=np.int32), tuple(sizes)


def drawn(items, sizes, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, k, items) for k in sizes]).astype(np.int32)
