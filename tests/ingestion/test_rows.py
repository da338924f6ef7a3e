from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.hashing import vector_hash
from semantic_ids.ingestion.rows import Reason, check, lengths

LISTS = [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16())]


def expected_reason(row: list | None, dim: int, dtype: str, nonzero: bool) -> Reason:  # noqa: PLR0911
    """The same question, asked of one row in plain Python."""
    if row is None:
        return Reason.NULL_VECTOR
    if len(row) != dim:
        return Reason.RAGGED if row else Reason.EMPTY_VECTOR
    if None in row:
        return Reason.NULL_VALUE
    if any(math.isnan(v) for v in row):
        return Reason.NAN
    if any(math.isinf(v) for v in row):
        return Reason.INFINITE
    with np.errstate(over="ignore"):
        stored = np.array(row, dtype)
    if not np.isfinite(stored).all():
        return Reason.OVERFLOW
    if not stored.any() and any(row):
        return Reason.VANISHED
    return Reason.ZERO if nonzero and not stored.any() else Reason.NONE


VALUES = st.one_of(
    st.none(),
    st.sampled_from(
        [0.0, -0.0, 1.5, -2.0, 65504.0, 65520.0, 1e39, 1e-9, math.nan, math.inf, -math.inf]
    ),
)
ROWS = st.lists(
    st.one_of(
        st.none(),
        st.lists(VALUES, max_size=4),
        st.lists(st.sampled_from([0.0, 1.0, -3.5]), min_size=3, max_size=3),
    ),
    min_size=1,
    max_size=12,
)


@given(
    ROWS,
    st.sampled_from(["float32", "float16"]),
    st.booleans(),
    st.sampled_from([pa.list_, pa.large_list]),
)
def test_reasons_are_those_of_each_row(rows, dtype, nonzero, container) -> None:
    checked = check(pa.array(rows, container(pa.float64())), 3, dtype, nonzero=nonzero)
    assert [Reason(r) for r in checked.reasons] == [
        expected_reason(row, 3, dtype, nonzero) for row in rows
    ]
    for row, vector in zip(rows, checked.vectors, strict=True):
        if expected_reason(row, 3, dtype, nonzero) == Reason.NONE:
            np.testing.assert_array_equal(vector, np.array(row, dtype))


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.lists(
                st.one_of(st.none(), st.sampled_from([0.0, 2.0, math.nan])), min_size=3, max_size=3
            ),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_fixed_size_lists(rows) -> None:
    column = pa.array(rows, pa.list_(pa.float16(), 3))
    checked = check(column, 3, "float32", nonzero=False)
    assert [Reason(r) for r in checked.reasons] == [
        expected_reason(row, 3, "float32", False) for row in rows
    ]
    assert lengths(column).tolist() == [-1 if row is None else 3 for row in rows]


def test_slices_of_batches_are_read_where_they_are() -> None:
    column = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32())).slice(1, 2)
    np.testing.assert_array_equal(
        check(column, 2, "float32", nonzero=False).vectors, [[3, 4], [5, 6]]
    )


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int64()], ids=str)
def test_integers(kind) -> None:
    checked = check(pa.array([[1, 2], [3, None]], pa.list_(kind)), 2, "float32", nonzero=True)
    np.testing.assert_array_equal(checked.vectors[0], [1, 2])
    assert checked.reasons.tolist() == [Reason.NONE, Reason.NULL_VALUE]


def test_integers_too_large_for_float16() -> None:
    assert check(
        pa.array([[1, 70_000]], pa.list_(pa.int64())), 2, "float16", nonzero=False
    ).reasons.tolist() == [Reason.OVERFLOW]


def test_minus_zero_is_stored_as_zero() -> None:
    checked = check(
        pa.array([[-0.0, 1.0], [0.0, 1.0]], pa.list_(pa.float32())), 2, "float32", nonzero=False
    )
    assert checked.vectors[0].tobytes() == checked.vectors[1].tobytes()
    np.testing.assert_array_equal(checked.hashes, vector_hash(checked.vectors))


def test_a_large_batch_is_checked_to_its_end() -> None:
    vectors = np.random.default_rng(0).normal(size=(3000, 64)).astype(np.float32)
    vectors[2999, 63], vectors[1234, 0] = np.nan, np.inf
    checked = check(
        pa.FixedSizeListArray.from_arrays(vectors.ravel(), 64), 64, "float32", nonzero=True
    )
    assert np.flatnonzero(checked.reasons).tolist() == [1234, 2999]
    assert checked.reasons[[1234, 2999]].tolist() == [Reason.INFINITE, Reason.NAN]


@pytest.mark.parametrize("reason", [r for r in Reason if r])
def test_every_reason_has_words(reason) -> None:
    assert reason.text(5, 3, "float16")


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1e20, "float32", Reason.EXTREME),
        (2e17, "float32", Reason.EXTREME),
        (9e16, "float32", Reason.NONE),
        (2e-18, "float32", Reason.NONE),
        (1e-24, "float32", Reason.EXTREME),
        (1e-6, "float16", Reason.NONE),
        (0.0, "float32", Reason.NONE),
    ],
)
def test_values_whose_squares_are_lost_are_refused(value, dtype, expected) -> None:
    vectors = np.ones((5, 4), dtype=np.float32)
    vectors[3] = [value, -value, 0, value]
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 4)
    assert check(column, 4, dtype, nonzero=False).reasons.tolist() == [0, 0, 0, expected, 0]
