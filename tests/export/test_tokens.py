from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.codes import token
from semantic_ids.export import token_strings


@pytest.mark.parametrize("levels", [1, 3, 30])
def test_tokens_of_all_levels_are_joined(levels):
    codes = np.random.default_rng(levels).integers(0, 70_000, (50, levels)).astype(np.int32)
    strings = token_strings(codes)
    assert strings.type == pa.string()
    assert strings.to_pylist() == [
        "".join(token(level, code) for level, code in enumerate(row)) for row in codes.tolist()
    ]


def test_the_spelling():
    assert token_strings(np.array([[45, 123, 67]], dtype=np.int32)).to_pylist() == [
        "<a_45><b_123><c_67>"
    ]


def test_no_items():
    assert len(token_strings(np.empty((0, 3), dtype=np.int32))) == 0
