"""A row an event: user, item and time, in any order.

Kept in memory are 17 bytes an event while they are read, and up to 40 while they are put in order:
numbers of users and items, and times. The ids of users are kept once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.history_columns import Columns
from semantic_ids.ingestion.history_ids import Catalogue, Numbering, whole_ids
from semantic_ids.ingestion.history_source import WHOLE
from semantic_ids.ingestion.history_times import as_times
from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.ingestion.user_events import UserEvents, starts_of
from semantic_ids.progress import Progress

_NUMBER = re.compile(r"-?\d+(\.\d*)?")


def read_events(
    parts: Mapping[str, tuple[ParquetSource, Columns]], catalogue: Catalogue, *, drop: bool
) -> UserEvents:
    """Read all events and put those of each user in order.

    By time; at one time by the item's hash, which is the order of the catalogue. In files that are
    split already, what is learned from comes before what is predicted, whatever the times are.

    Args:
        parts: `WHOLE`, or `train`, `valid` and `test`.
        catalogue: Where the items are looked up; events of others are left out.
        drop: Whether to leave out events of the same user, item and time but for one of them.

    Raises:
        BadInput: A row is not what it should be.
    """
    users, read = Numbering(), 0
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("item", "time", "part")}
    for number, (source, columns) in enumerate(parts.values()):
        read += source.rows
        for item, time in _batches(source, columns, users, catalogue):
            found["item"].append(item)
            found["time"].append(time)
            found["part"].append(np.full(len(item), number, np.int8))
    ids, places = users.in_order()
    events = {"user": places.astype(np.int32)[users.take()]}
    events |= {name: _joined(found, name) for name in tuple(found)}
    _keep(events, events["item"] >= 0)
    known = len(events["user"])
    _put_in_order(events, drop=drop)
    starts = starts_of(np.bincount(events["user"], minlength=len(ids)))
    counts = {
        "events_read": read,
        "users_read": len(ids),
        "events_unknown": read - known,
        "events_duplicate": known - len(events["user"]),
    }
    cuts = None if WHOLE in parts else _cuts(events["user"], events["part"], starts)
    return UserEvents(ids, events["item"], starts, events["time"], cuts, counts)


def _put_in_order(events: dict[str, np.ndarray], *, drop: bool) -> None:
    """Sort events by user, part, time and item, and drop what is there twice.

    One column after the other, so that no more than one of them is there twice.
    """
    order = np.lexsort([events[name] for name in ("item", "time", "part", "user")])
    for name in events:
        events[name] = events[name][order]
    del order
    if not drop or not len(events["user"]):
        return
    new = np.zeros(len(events["user"]), bool)
    new[0] = True
    for name in events:
        new[1:] |= events[name][1:] != events[name][:-1]
    _keep(events, new)


def _keep(events: dict[str, np.ndarray], kept: np.ndarray) -> None:
    """Keep some of the events: (m,) bool."""
    if not kept.all():
        for name in events:
            events[name] = events[name][kept]


def _batches(
    source: ParquetSource, columns: Columns, users: Numbering, catalogue: Catalogue
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read one source: rows of items, and times; the users are added to those known."""
    names = [columns.user, columns.item or "", columns.time or ""]
    with Progress("read the events", total=source.rows, unit="events") as progress:
        for start, batch in source.batches(names):
            users.add(whole_ids(batch.column(0), source, start, "user"))
            item = catalogue.rows(whole_ids(batch.column(1), source, start, "item"))
            yield item, _times(batch.column(2), source, start)
            progress.advance(len(batch))


def _times(column: pa.Array, source: ParquetSource, start: int) -> np.ndarray:
    values, invalid = as_times(column)
    if invalid.any():
        row = int(invalid.argmax())
        found = column[row].as_py()
        raise BadInput(
            f"the time is {'null' if found is None else repr(found)}",
            where=str(source.place(start + row)),
            expected="a timestamp, a finite number, or text in ISO 8601",
            do="cast the column to int64 or float64"
            if isinstance(found, str) and _NUMBER.fullmatch(found)
            else "leave such rows out, or mend them",
        )
    return values


def _joined(found: dict[str, list[np.ndarray]], name: str) -> np.ndarray:
    """Put the arrays of one column together, and let them go."""
    parts = found.pop(name)
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _cuts(user: np.ndarray, part: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return where validation and test begin: shape (u, 2), int64."""
    before = [np.bincount(user[part <= last], minlength=len(starts) - 1) for last in (0, 1)]
    return starts[:-1, None] + np.column_stack(before)
