"""Labels from outside: which column of the items file says what of which item."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.errors import BadInput, nearest

if TYPE_CHECKING:
    import pyarrow as pa


def join(
    item_ids: pa.Array,
    items: pa.Table,
    *,
    id_column: str,
    columns: str | list[str],
    max_values: int,
    min_share: float,
) -> dict[str, np.ndarray]:
    """Find the labels of the items.

    Ids are matched by their text, so that integers find their decimal strings.

    Args:
        item_ids: n ids of the items.
        items: The items file.
        id_column: Its column of ids.
        columns: Names of columns, or `auto`: every text or integer column in which the items have 2
            to `max_values` distinct values, and at most half as many as there are items.
        max_values: Limit of `auto`.
        min_share: At least this share of the items has to be in the items file.

    Returns:
        Column → shape (n,), int64: number of each item's label, −1 where it has none.

    Raises:
        BadInput: A column is missing or is no label, an id is there twice, or too few items were
            found.
    """
    place = _places(item_ids, items, id_column, min_share)
    if columns == "auto":
        candidates = {
            name: _numbers(items, name, place)
            for name in items.column_names
            if name != id_column and _is_label(items, name)
        }
        return {
            name: numbers
            for name, numbers in candidates.items()
            if 2 <= numbers.max(initial=-1) + 1 <= min(max_values, len(numbers) // 2)
        }
    for name in columns:
        _require(items, name, "evaluate.labels")
        _require_plain(items, name, "evaluate.labels")
    return {name: _numbers(items, name, place) for name in columns}


def weights(
    item_ids: pa.Array,
    items: pa.Table,
    *,
    id_column: str,
    column: str,
    min_share: float,
    option: str,
) -> np.ndarray:
    """Find what each item weighs.

    Args:
        item_ids: n ids of the items.
        items: The items file.
        id_column: Its column of ids.
        column: The column of weights.
        min_share: At least this share of the items has to be in the items file.
        option: The option that names the column, for messages.

    Returns:
        Shape (n,), float64: 0 for an item that has none.

    Raises:
        BadInput: The column is missing or is no column of weights, or too few items were found.
    """
    import pyarrow as pa

    _require(items, column, option)
    kind = items.schema.field(column).type
    where = f"{_file(items)}, column '{column}'"
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise BadInput(
            f"column '{column}' of {_file(items)} is of type {kind}",
            where=option,
            expected="numbers",
        )
    place = _places(item_ids, items, id_column, min_share)
    numbers = items.column(column).cast(pa.float64()).combine_chunks()
    taken = numbers.take(pa.array(place, mask=place < 0)).fill_null(0.0)
    found = taken.to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(wrong):
        raise BadInput(
            f"item {item_ids[int(wrong[0])].as_py()!r} weighs {found[wrong[0]]}",
            where=where,
            expected="finite numbers of at least 0",
        )
    if not found.any():
        raise BadInput("no item weighs anything", where=where, expected="a weight above 0")
    return found


def _places(item_ids: pa.Array, items: pa.Table, id_column: str, min_share: float) -> np.ndarray:
    """Return the row of each item in the items file, −1 where it is not in it: (n,) int64."""
    import pyarrow.compute as pc

    _require(items, id_column, "ingest.id_column")
    _require_plain(items, id_column, "ingest.id_column")
    known = _text(items.column(id_column))
    _require_unique(known, f"{_file(items)}, column '{id_column}'")
    place = (
        pc.fill_null(pc.index_in(_text(item_ids), value_set=known, skip_nulls=True), -1)
        .to_numpy(zero_copy_only=False)
        .astype(np.int64)
    )
    found = int((place >= 0).sum())
    if found < min_share * len(place):
        raise BadInput(
            f"only {found:,} of {len(place):,} items are in the items file, which has"
            f" {len(items):,} rows",
            where=f"{_file(items)}, column '{id_column}'",
            expected=f"at least a share of {min_share} (evaluate.min_label_share)",
            do=(
                "give the items file that belongs to the embeddings with items=PATH, or"
                " none with items=none"
            ),
        )
    return place


def _file(items: pa.Table) -> str:
    """Name the file of the labels, where the table knows it."""
    return (items.schema.metadata or {}).get(b"semantic_ids.location", b"the items file").decode()


def _left_out(items: pa.Table) -> dict[str, str]:
    """Return name → why it is none, of the file's columns that are no labels, where known."""
    return dict(json.loads((items.schema.metadata or {}).get(b"semantic_ids.left_out", b"{}")))


def _text(ids: pa.Array | pa.ChunkedArray) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.cast(ids, pa.large_string())
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text


def _require(items: pa.Table, name: str, where: str) -> None:
    if reason := _left_out(items).get(name):
        raise BadInput(
            f"column '{name}' of {_file(items)} {reason}",
            where=where,
            expected="one column of this name, with one text or number an item",
        )
    if name not in items.column_names:
        raise BadInput(
            f"{_file(items)} has no column '{name}'{nearest(name, items.column_names)}",
            where=where,
            expected=f"one of its columns {', '.join(items.column_names)}",
        )


def _require_plain(items: pa.Table, name: str, where: str) -> None:
    import pyarrow as pa

    kind = items.schema.field(name).type
    if pa.types.is_nested(kind):
        raise BadInput(
            f"column '{name}' of {_file(items)} is of type {kind}",
            where=where,
            expected="one value an item: text or numbers",
        )


def _require_unique(ids: pa.Array, where: str) -> None:
    import pyarrow.compute as pc

    counts = pc.value_counts(ids.drop_null())
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise BadInput(
            f"{len(twice):,} ids are there more than once, such as {twice[0]['values'].as_py()}",
            where=where,
            expected="one row an item",
            do="keep one row of each",
        )


def _is_label(items: pa.Table, name: str) -> bool:
    """Whether a column is of text or integers."""
    import pyarrow as pa

    kind = items.schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        pa.types.is_integer(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )


def _numbers(items: pa.Table, name: str, place: np.ndarray) -> np.ndarray:
    """Number the items' labels in the order of the rows: (n,) int64, −1 for none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = items.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type):
        column = column.cast(pa.large_string())  # plain strings end at 2 GiB a chunk
    taken = column.take(pa.array(place, mask=place < 0))
    encoded = pc.dictionary_encode(taken.combine_chunks())
    return pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
