"""Vectorised checks of vector columns, and the cast to the type they are stored in."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from semantic_ids.hashing import vector_hash
from semantic_ids.ingestion.cast import CastError, cast_error, given_hashes

BLOCK_VALUES = 1 << 16
"""Values that are cast and checked at a time, so that they stay in the processor's cache."""


SMALLEST, LARGEST = 1e-18, 1e17
"""A vector's largest value has to be in between, in size, or distances overflow or vanish in
float32 and all codes come out the same."""


class Reason(IntEnum):
    """Why a row cannot be taken; 0 where it can."""

    NONE = 0
    NULL_VECTOR = 1
    EMPTY_VECTOR = 2
    RAGGED = 3
    NULL_VALUE = 4
    NAN = 5
    INFINITE = 6
    OVERFLOW = 7
    VANISHED = 8
    ZERO = 9
    EXTREME = 10

    def text(self, length: int, dim: int, dtype: str) -> str:
        """Say it in words: what was found, of a row of `length` where `dim` is right and which is
        stored as `dtype`.
        """
        return {
            Reason.NULL_VECTOR: "the vector is null",
            Reason.EMPTY_VECTOR: "the vector is empty",
            Reason.RAGGED: f"the vector has {length} dimensions instead of {dim}",
            Reason.NULL_VALUE: "a value in the vector is null",
            Reason.NAN: "a value in the vector is NaN",
            Reason.INFINITE: "a value in the vector is infinite",
            Reason.OVERFLOW: f"a value in the vector is too large for {dtype}",
            Reason.VANISHED: (
                f"the vector is not zero, but too small for {dtype}, which makes it zero"
            ),
            Reason.EXTREME: (
                f"the largest value is not between {SMALLEST:g} and {LARGEST:g} in size, so that"
                " distances are lost in float32"
            ),
            Reason.ZERO: (
                "the vector is zero, which has no direction and cannot be brought to unit length"
            ),
        }[self]


class Checked(NamedTuple):
    """Rows as they are stored, and what is wrong with them."""

    vectors: np.ndarray
    """Shape (m, D), C-contiguous, in the storage type, without −0; zeros where the row is not of D
    dimensions."""

    hashes: np.ndarray
    """Shape (m,), uint64: `hashing.vector_hash` of `vectors`."""

    reasons: np.ndarray
    """Shape (m,), uint8: a `Reason`."""

    given: np.ndarray
    """Shape (m,), uint64: hash of the vectors as they were given (`cast.given_hashes`)."""

    error: CastError
    """How far the cast moved some of them."""


def lengths(column: pa.Array) -> np.ndarray:
    """Return the number of dimensions of each row of a vector column.

    Shape (m,), int64, −1 where the vector is null.
    """
    if pa.types.is_fixed_size_list(column.type):
        sizes = np.full(len(column), column.type.list_size, dtype=np.int64)
    else:
        sizes = column.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    if column.null_count:
        sizes[column.is_null().to_numpy(zero_copy_only=False)] = -1
    return sizes


def check(column: pa.Array, dim: int, dtype: str, *, nonzero: bool) -> Checked:
    """Check rows of a vector column and cast them.

    Args:
        column: m rows of a list, large list or fixed-size list of numbers.
        dim: The number of dimensions D that each should have.
        dtype: Storage type: `float32` or `float16`.
        nonzero: Whether a zero vector is invalid.
    """
    sizes = lengths(column)
    if (sizes == dim).all():
        return _check_values(column.flatten(), dim, dtype, nonzero)
    vectors = np.zeros((len(column), dim), dtype=dtype)
    hashes = np.zeros(len(column), dtype=np.uint64)
    reasons = np.select(
        [sizes < 0, sizes == 0], [Reason.NULL_VECTOR, Reason.EMPTY_VECTOR], Reason.RAGGED
    ).astype(np.uint8)
    fits, given, error = sizes == dim, hashes.copy(), CastError()
    if fits.any():
        vectors[fits], hashes[fits], reasons[fits], given[fits], error = _check_values(
            column.filter(pa.array(fits)).flatten(), dim, dtype, nonzero
        )
    return Checked(vectors, hashes, reasons, given, error)


def _check_values(values: pa.Array, dim: int, dtype: str, nonzero: bool) -> Checked:
    """Check m · dim values, all in place."""
    given = values.to_numpy(zero_copy_only=False).reshape(-1, dim)
    vectors = _stored(given, dtype)
    hashes = vector_hash(vectors)
    reasons = np.zeros(len(vectors), dtype=np.uint8)
    _mark_values(reasons, given, vectors, values)
    _mark_zeros(reasons, given, vectors, hashes, nonzero)
    error = cast_error(given, vectors, reasons == Reason.NONE)
    return Checked(vectors, hashes, reasons, given_hashes(given, vectors, hashes), error)


def _stored(given: np.ndarray, dtype: str) -> np.ndarray:
    """Cast to the storage type, −0 to 0: equal vectors get equal bytes."""
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = np.array(given, dtype=dtype, order="C")
        block = max(1, BLOCK_VALUES // given.shape[1])
        for start in range(0, len(vectors), block):
            vectors[start : start + block] += vectors.dtype.type(0)
    return vectors


def _mark_values(
    reasons: np.ndarray, given: np.ndarray, vectors: np.ndarray, values: pa.Array
) -> None:
    """Mark the rows with values that are null, NaN, infinite, too large or too small.

    A sound batch costs one look at each value.
    """
    block = max(1, BLOCK_VALUES // vectors.shape[1])
    for start in range(0, len(vectors), block):
        rows = slice(start, start + block)
        source, stored, part = given[rows], vectors[rows], reasons[rows]
        largest = np.abs(stored).max(axis=1).astype(np.float32)
        sound = ((largest >= SMALLEST) & (largest <= LARGEST)) | (largest == 0)
        if sound.all():
            continue
        part[~sound] = Reason.EXTREME
        part[~np.isfinite(stored).all(axis=1)] = Reason.OVERFLOW
        part[np.isinf(source).any(axis=1)] = Reason.INFINITE
        part[np.isnan(source).any(axis=1)] = Reason.NAN
    if values.null_count:
        nulls = values.is_null().to_numpy(zero_copy_only=False).reshape(vectors.shape)
        reasons[nulls.any(axis=1)] = Reason.NULL_VALUE


def _mark_zeros(
    reasons: np.ndarray, given: np.ndarray, vectors: np.ndarray, hashes: np.ndarray, nonzero: bool
) -> None:
    """Mark zero rows, found by their hash and then looked at."""
    candidates = np.flatnonzero(
        (hashes == vector_hash(np.zeros((1, vectors.shape[1]), vectors.dtype)))
        & (reasons == Reason.NONE)
    )
    zero = candidates[~vectors[candidates].any(axis=1)]
    if nonzero:
        reasons[zero] = Reason.ZERO
    reasons[zero[given[zero].any(axis=1)]] = Reason.VANISHED
