"""Semantic IDs as columns of pyarrow: their codes, and their text, `<a_45><b_123><c_67>`."""

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

    parts: list[pa.Array] = []
    end = ""
    for level in range(codes.shape[1]):
        start, _, close = token(level, 0).partition("0")
        parts += [
            _repeated(end + start, len(codes)),
            pc.cast(as_arrow(codes[:, level]), pa.string()),
        ]
        end = close
    parts += [_repeated(end, len(codes)), _repeated("", len(codes))]  # nothing between them
    return pc.binary_join_element_wise(*parts)


def as_arrow(numbers: np.ndarray) -> pa.Array:
    """Return integers (m,) as an array of pyarrow.

    `pyarrow.array` and `pyarrow.scalar` import pandas where it is installed, which takes as long as
    encoding 50,000 items.
    """
    import pyarrow as pa

    numbers = np.ascontiguousarray(numbers)
    kind = pa.from_numpy_dtype(numbers.dtype)
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def codes_column(codes: np.ndarray) -> pa.FixedSizeListArray:
    """Return codes (m, W) as the column `codes`: fixed-size list<int32>."""
    import pyarrow as pa

    flat = np.ascontiguousarray(codes, dtype=np.int32)
    return pa.FixedSizeListArray.from_arrays(as_arrow(flat.ravel()), flat.shape[1])


def _repeated(text: str, m: int) -> pa.StringArray:
    """Return the same text m times."""
    import pyarrow as pa

    data = text.encode("ascii")
    ends = np.arange(m + 1, dtype=np.int32) * len(data)
    return pa.StringArray.from_buffers(m, pa.py_buffer(ends), pa.py_buffer(data * m))
