"""Semantic IDs as text for sequence models: `<a_45><b_123><c_67>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.codes import token

if TYPE_CHECKING:
    import pyarrow as pa


def token_strings(codes: np.ndarray) -> pa.StringArray:
    """Write each ID as its tokens, one after the other.

    Args:
        codes: Shape (m, W), integers. A string array holds 2 GB: for hundreds of millions of rows,
            call it in chunks.

    Returns:
        m strings; what `codes.token` gives for each code, joined.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts: list[pa.Array | str] = []
    end = ""
    for level in range(codes.shape[1]):
        start, _, close = token(level, 0).partition("0")
        parts += [
            end + start,
            pc.cast(pa.array(np.ascontiguousarray(codes[:, level])), pa.string()),
        ]
        end = close
    return pc.binary_join_element_wise(*parts, end, "")
