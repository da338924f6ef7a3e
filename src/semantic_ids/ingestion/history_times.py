"""Times of events as numbers that sort, whatever a column holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.columns import as_text, is_text

NUMBERS, INSTANTS = "numbers", "instants"
"""Kinds of times: of any unit and beginning, or microseconds since 1970 in UTC."""


class Times(NamedTuple):
    """Times of some events.

    Attributes:
        values: Shape (b,), int64 or float64; 0 where there is none.
        invalid: Shape (b,), bool: null, NaN, infinite, or text that names no time.
    """

    values: np.ndarray
    invalid: np.ndarray


def is_time(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold times."""
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or (is_text(kind) and not isinstance(kind, pa.BaseExtensionType))
    )


def kind_of_times(kind: pa.DataType) -> str:
    """Return `NUMBERS` or `INSTANTS`: one cannot be compared with the other."""
    return NUMBERS if pa.types.is_integer(kind) or pa.types.is_floating(kind) else INSTANTS


def as_times(column: pa.Array) -> Times:
    """Return the times of a column as numbers that sort; nothing is raised."""
    kind = column.type
    if pa.types.is_null(kind):
        return Times(np.zeros(len(column), np.int64), np.ones(len(column), bool))
    if pa.types.is_floating(kind):
        found = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        invalid = ~np.isfinite(found)
        return Times(np.where(invalid, 0.0, found), invalid)
    if pa.types.is_uint64(kind):
        over = pc.greater(column, pa.scalar(2**63 - 1, pa.uint64()))
        column = pc.if_else(over, pa.scalar(None, kind), column)
    elif is_text(kind):
        column = _from_text(as_text(column))
    elif not pa.types.is_integer(kind):
        column = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
    numbers = column.cast(pa.int64())
    invalid = numbers.is_null().to_numpy(zero_copy_only=False)
    return Times(numbers.fill_null(0).to_numpy(zero_copy_only=False), invalid)


def instant(text: str, kind: str, option: str) -> int | float:
    """Return an instant that was typed as a number that compares with the times of a column.

    Args:
        text: `2014-06-01`, `2014-06-01T12:00:00+02:00`, `1401580800`.
        kind: What the column holds: `NUMBERS` or `INSTANTS`.
        option: The option it was typed for; it is named in errors.

    Raises:
        BadInput: It is not of this kind.
    """
    if kind == NUMBERS:
        try:
            return int(text)
        except ValueError:
            try:
                found = float(text)
            except ValueError:
                found = np.nan
        if np.isfinite(found):
            return found
        raise BadInput(
            f"'{text}' is no number, and the column of the time holds numbers",
            where=option,
            expected="a number of the same unit as in the column",
        )
    found = _from_text(pa.array([text], pa.large_string())).cast(pa.int64())[0].as_py()
    if found is None:
        raise BadInput(
            f"'{text}' is no instant",
            where=option,
            expected="one in ISO 8601, such as 2014-06-01 or 2014-06-01T12:00:00+02:00",
        )
    return found


def _from_text(texts: pa.Array) -> pa.Array:
    """Return ISO 8601 text as microseconds since 1970 in UTC; null where it is none.

    A text that names no zone is UTC.
    """
    for zone in ("UTC", None):
        try:
            return texts.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            continue
    return pa.array([_one(text) for text in texts.to_pylist()], pa.timestamp("us"))


def _one(text: str | None) -> int | None:
    """Read one text, where its neighbours are of another kind, or no times."""
    from datetime import UTC, datetime, timedelta

    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
