"""Invalid rows where none may be: the first one of a kind becomes an error that names its place."""

from __future__ import annotations

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.order import LARGEST_ID, ItemIds
from semantic_ids.ingestion.rows import Reason
from semantic_ids.ingestion.source import ParquetSource

_DROP = (
    "or write such rows to 02_intermediate/rejected.parquet and go on with ingest.on_invalid=drop"
)


def refuse_ids(source: ParquetSource, ids: ItemIds) -> None:
    """Raise `BadInput` for a null id, or one that does not fit int64."""
    for rows, what, expected in (
        (ids.null, "the item id is null", "an id in every row"),
        (
            ids.too_large,
            "the item id is larger than 2**63 - 1",
            f"integers up to {LARGEST_ID}, or strings",
        ),
    ):
        if len(rows):
            raise BadInput(
                f"{what} ({_rows(len(rows))} in all)",
                where=str(source.place(rows[0])),
                expected=expected,
                do=f"mend the ids, {_DROP}",
            )


def refuse_duplicates(source: ParquetSource, ids: ItemIds, ordered: np.ndarray) -> None:
    """Raise `BadInput` for an id that is there more than once, given all rows in the order of their
    item hash.
    """
    groups = list(ids.duplicates(ordered))
    if not groups:
        return
    first = min(groups, key=lambda group: group[0])
    item_id = ids.text(first[:1])[0]
    raise BadInput(
        f"item id {item_id} is there {len(first)} times, again in {source.place(first[1])}"
        f" (duplicate ids in all: {len(groups):,})",
        where=str(source.place(first[0])),
        expected="every id once",
        do=f"mend the ids, {_DROP} (of rows with one id and equal vectors one stays)",
    )


def refuse_rows(
    source: ParquetSource,
    ids: ItemIds,
    start: int,
    lengths: np.ndarray,
    reasons: np.ndarray,
    dim: int,
    dtype: str,
) -> None:
    """Raise `BadInput` for the first row of a batch with a reason.

    Args:
        source: Where the rows come from.
        ids: Ids of all rows.
        start: Number of the batch's first row.
        lengths: Shape (m,), dimensions of each row.
        reasons: Shape (m,), a `Reason` each, not all of them 0.
        dim: The right number of dimensions.
        dtype: Storage type.
    """
    row = int(np.flatnonzero(reasons)[0])
    text = Reason(reasons[row]).text(int(lengths[row]), dim, dtype)
    raise BadInput(
        f"item id {ids.text(np.array([start + row]))[0]}: {text}",
        where=str(source.place(start + row)),
        expected=f"{dim} finite numbers",
        do=f"mend the row, {_DROP}",
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"
