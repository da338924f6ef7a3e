"""Invalid rows where they are left out.

One pass over everything, to know who stays before anything is stored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.check import different_dims, known_dim
from semantic_ids.ingestion.columns import as_vectors
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.order import ItemIds
from semantic_ids.ingestion.rows import Reason, check, lengths
from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.masking import mask
from semantic_ids.progress import Progress

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("file", pa.string()),
        ("row_group", pa.int64()),
        ("row", pa.int64()),
        ("reason", pa.string()),
    ]
)
"""Columns of the table of rejected rows; `row` is the number of the row in its file, counted from
0."""


class Verdicts(NamedTuple):
    """What was found of each of the n rows."""

    lengths: np.ndarray
    """Shape (n,), int32; −1 where the vector is null."""

    hashes: np.ndarray
    """Shape (n,), uint64: hash of the vector as it is stored."""

    reasons: np.ndarray
    """Shape (n,), uint8: a `Reason`."""


def sort_out(
    source: ParquetSource, ids: ItemIds, options: IngestOptions, nonzero: bool
) -> tuple[np.ndarray, int, pa.Table]:
    """Tell the rows that stay from those that are rejected.

    Returns:
        The numbers of the rows that stay, in the order of their item hash; their dimensions D; and
        the rejected rows as a table.

    Raises:
        BadInput: No row stays, or a file holds vectors of other dimensions only.
    """
    verdicts = _look(source, options, nonzero)
    dim = known_dim(source, options) or _common_length(verdicts.lengths)
    _check_files(source, verdicts.lengths, dim)
    verdicts.reasons[(verdicts.lengths > 0) & (verdicts.lengths != dim)] = Reason.RAGGED
    why = _invalid(ids, verdicts, dim, options.dtype)
    valid = np.ones(len(ids), dtype=bool)
    valid[list(why)] = False
    ordered = ids.in_order(np.flatnonzero(valid))
    why |= _duplicates(source, ids, ordered, verdicts.hashes)
    stays = ordered[~np.isin(ordered, np.fromiter(why, np.int64, len(why)))]
    if not len(stays):
        raise BadInput(
            f"all {len(ids):,} rows are invalid; the first because {why[0]}",
            where=str(source.place(0)),
            do="give another file, or mend the rows",
        )
    return stays, dim, _table(source, ids, why)


def empty_table() -> pa.Table:
    """Return the table of rejected rows where there are none."""
    return SCHEMA.empty_table()


def _look(source: ParquetSource, options: IngestOptions, nonzero: bool) -> Verdicts:
    """Check every row as a vector of its own length."""
    verdicts = Verdicts(
        np.zeros(source.rows, np.int32),
        np.zeros(source.rows, np.uint64),
        np.zeros(source.rows, np.uint8),
    )
    with Progress("look for invalid rows", total=source.rows, unit="rows") as progress:
        for start, batch in source.batches([options.vector_column]):
            column = as_vectors(batch.column(0))
            part = Verdicts(*(array[start : start + len(column)] for array in verdicts))
            part.lengths[:] = lengths(column)
            part.reasons[:] = np.select(
                [part.lengths < 0, part.lengths == 0],
                [Reason.NULL_VECTOR, Reason.EMPTY_VECTOR],
                Reason.NONE,
            )
            for length in np.unique(part.lengths[part.lengths > 0]).tolist():
                rows = part.lengths == length
                same = column if rows.all() else column.filter(pa.array(rows))
                _, part.hashes[rows], part.reasons[rows], *_ = check(
                    same, length, options.dtype, nonzero=nonzero
                )
            progress.advance(len(column))
    return verdicts


def _common_length(found: np.ndarray) -> int:
    """Return the most common length above 0; of equally common ones the largest.

    0 if there is none.
    """
    values, counts = np.unique(found[found > 0], return_counts=True)
    return int(values[counts == counts.max()].max()) if len(values) else 0


def _check_files(source: ParquetSource, found: np.ndarray, dim: int) -> None:
    """Raise `BadInput` for a file whose vectors are all of another length.

    It is no invalid row, it is another model's file.
    """
    dims_at, start = [], 0
    for footer in source.footers:
        dims_at.append(
            (
                footer.file,
                _common_length(found[start : start + footer.rows]),
                bool((found[start : start + footer.rows] == dim).any()),
            )
        )
        start += footer.rows
    right = next((file for file, _, has in dims_at if has), "")
    for file, length, has in dims_at:
        if length and not has:
            raise different_dims(file, length, right, dim)


def _invalid(ids: ItemIds, verdicts: Verdicts, dim: int, dtype: str) -> dict[int, str]:
    """Return row number → reason for the rows that are invalid in themselves."""
    why: dict[int, str] = {}
    for row in np.flatnonzero(verdicts.reasons).tolist():
        why[row] = Reason(verdicts.reasons[row]).text(int(verdicts.lengths[row]), dim, dtype)
    why |= dict.fromkeys(ids.too_large.tolist(), "the item id is larger than 2**63 - 1")
    why |= dict.fromkeys(ids.null.tolist(), "the item id is null")
    return why


def _duplicates(
    source: ParquetSource, ids: ItemIds, ordered: np.ndarray, hashes: np.ndarray
) -> dict[int, str]:
    """Return row number → reason for the rows that go because of their id.

    The one that stays has their stored bytes.
    """
    why: dict[int, str] = {}
    for group in ids.duplicates(ordered):
        same = (hashes[group] == hashes[group[0]]).all()
        reason = (
            f"the id and the vector are also in {source.place(group[0])}"
            if same
            else f"the id is there {len(group)} times with different vectors"
        )
        why |= dict.fromkeys(group[1:].tolist() if same else group.tolist(), reason)
    return why


def _table(source: ParquetSource, ids: ItemIds, why: dict[int, str]) -> pa.Table:
    rows = np.array(sorted(why), dtype=np.int64)
    nameless = set(ids.null.tolist()) | set(ids.too_large.tolist())
    places = [(mask(file), *rest) for file, *rest in map(source.place, rows.tolist())]
    columns = [
        [
            None if row in nameless else text
            for row, text in zip(rows.tolist(), ids.text(rows), strict=True)
        ],
        *zip(*places, strict=True),
        [why[row] for row in rows.tolist()],
    ]
    return (
        pa.table(
            [
                pa.array(list(column), kind.type)
                for column, kind in zip(columns, SCHEMA, strict=True)
            ],
            schema=SCHEMA,
        )
        if len(rows)
        else empty_table()
    )
