"""A row a user: the items that each had, in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.arrays import stretches
from semantic_ids.errors import BadInput
from semantic_ids.ingestion.columns import is_text
from semantic_ids.ingestion.history_columns import Columns
from semantic_ids.ingestion.history_ids import Catalogue, Numbering, whole_ids
from semantic_ids.ingestion.history_source import WHOLE
from semantic_ids.ingestion.order import readable
from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.ingestion.user_events import UserEvents, starts_of
from semantic_ids.progress import Progress

_ALIKE = 0.9
"""Above this share of targets that end their sequence, the others are a mistake."""


class Sequences(NamedTuple):
    """Sequences of some users, in the order of the file.

    Attributes:
        users: Shape (r,), int32: numbers of the users, each once.
        lengths: Shape (r,), int64, at least 1.
        items: Shape (Σ lengths,), int32: rows of the catalogue, −1 where the item is not there.
    """

    users: np.ndarray
    lengths: np.ndarray
    items: np.ndarray

    def of_users(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where the sequence of each user begins and how long it is: shape (count,)."""
        begin, lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
        begin[self.users], lengths[self.users] = starts_of(self.lengths)[:-1], self.lengths
        return begin, lengths


class _Targets(NamedTuple):
    """What came after each sequence: row of the item, whether there is one, and whether the
    sequence ends with it.
    """

    items: np.ndarray
    there: np.ndarray
    is_last: np.ndarray


def read_sequences(
    parts: Mapping[str, tuple[ParquetSource, Columns]], catalogue: Catalogue
) -> UserEvents:
    """Read the sequences of all users.

    Args:
        parts: `WHOLE`, or `train`, `valid` and `test`, whose sequences continue each other.
        catalogue: Where the items are looked up.

    Raises:
        BadInput: A row is not what it should be, a user is there twice, or the sequence of one file
            does not begin with that of the file before.
    """
    users = Numbering()
    read = {
        part: _read(source, columns, users, catalogue) for part, (source, columns) in parts.items()
    }
    ids, places = users.in_order()
    if WHOLE in read:
        whole, cuts = read[WHOLE], None
        begin, lengths = whole.of_users(len(users))
        pool = whole.items
    else:
        pool, begin, lengths, cuts = _continued(read, parts, users)
    order = np.argsort(places)
    starts = starts_of(lengths[order])
    items = pool[stretches(begin[order], lengths[order])]
    if cuts is not None:
        cuts = cuts[order] + starts[:-1, None]
    counts = {
        "events_read": len(items),
        "users_read": len(ids),
        "events_unknown": int((items < 0).sum()),
    }
    return UserEvents(ids, items, starts, None, cuts, counts)


def _read(
    source: ParquetSource, columns: Columns, users: Numbering, catalogue: Catalogue
) -> Sequences:
    """Read one source."""
    names = [columns.user, columns.sequence or "", *([columns.target] if columns.target else [])]
    lengths, items, targets = [], [], []
    with Progress("read the sequences", total=source.rows, unit="users") as progress:
        for start, batch in source.batches(names):
            users.add(whole_ids(batch.column(0), source, start, "user"))
            sizes, values = _values(batch.column(1), source, start)
            lengths.append(sizes)
            items.append(catalogue.rows(values))
            if columns.target:
                targets.append(_targets(batch.column(2), values, sizes, catalogue, source, start))
            progress.advance(len(batch))
    numbers = _once(users, source)
    made = Sequences(numbers, np.concatenate(lengths), np.concatenate(items))
    if not targets:
        return made
    together = _Targets(*(np.concatenate(part) for part in zip(*targets, strict=True)))
    return _with_targets(made, together, source, columns.target or "")


def _once(users: Numbering, source: ParquetSource) -> np.ndarray:
    """Return the numbers of the users of all rows, and refuse one that is there again."""
    found = users.take()
    again = np.ones(len(found), bool)
    again[np.unique(found, return_index=True)[1]] = False
    if again.any():
        row = int(again.argmax())
        raise BadInput(
            f"user {users.name(int(found[row]))} is there twice",
            where=str(source.place(row)),
            expected="one row a user, with all items in order",
            do="put the rows of each user together, or give rows of user, item and timestamp",
        )
    return found


def _values(column: pa.Array, source: ParquetSource, start: int) -> tuple[np.ndarray, pa.Array]:
    """Return the length of each sequence, and the ids of all, none of them null."""
    if pa.types.is_fixed_size_list(column.type):
        sizes = np.full(len(column), column.type.list_size, np.int64)
    else:
        sizes = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    for mask, found in ((nulls, "the sequence is null"), (sizes == 0, "the sequence is empty")):
        if mask.any():
            raise BadInput(
                found,
                where=str(source.place(start + int(mask.argmax()))),
                expected="at least one item",
                do="leave such users out",
            )
    values = column.flatten()
    ids, over = readable(values, is_text(values.type), source, start)
    wrong = ids.is_null().to_numpy(zero_copy_only=False) | over
    if wrong.any():
        event = int(wrong.argmax())
        row = int(np.searchsorted(np.cumsum(sizes), event, side="right"))
        raise BadInput(
            "an item of the sequence is larger than 2**63 - 1"
            if over[event]
            else "an item of the sequence is null",
            where=str(source.place(start + row)),
            expected="the id of an item for every event",
            do="leave such events out",
        )
    return sizes, ids


def _targets(
    column: pa.Array,
    values: pa.Array,
    sizes: np.ndarray,
    catalogue: Catalogue,
    source: ParquetSource,
    start: int,
) -> _Targets:
    """Read the targets of some rows beside the last items of their sequences."""
    ids, over = readable(column, is_text(column.type), source, start)
    there = ids.is_valid().to_numpy(zero_copy_only=False) & ~over
    rows = np.full(len(ids), -1, np.int32)
    last = values.take(pa.array(np.cumsum(sizes) - 1)).cast(pa.string())
    is_last = pc.equal(last, ids.cast(pa.string())).fill_null(False)
    is_last = is_last.to_numpy(zero_copy_only=False)
    rows[there] = catalogue.rows(ids.filter(pa.array(there)))
    return _Targets(rows, there, is_last)


def _with_targets(
    made: Sequences, targets: _Targets, source: ParquetSource, name: str
) -> Sequences:
    """Put the targets after the sequences, unless these end with them already.

    Raises:
        BadInput: Nearly all do.
    """
    there, is_last = targets.there, targets.is_last
    if is_last[there].all():
        return made
    if is_last[there].mean() > _ALIKE:
        row = int((there & ~is_last).argmax())
        raise BadInput(
            f"'{name}' is not the last item of the sequence, as it is in"
            f" {is_last[there].mean():.1%} of the rows",
            where=str(source.place(row)),
            expected="targets that end all sequences, or that follow them",
            do="mend the rows, or pass the column over with history.target_column=none",
        )
    lengths = made.lengths + there
    items = np.empty(int(lengths.sum()), np.int32)
    ends = np.cumsum(lengths)
    at = np.ones(len(items), bool)
    at[(ends - 1)[there]] = False
    items[at], items[~at] = made.items, targets.items[there]
    return Sequences(made.users, lengths, items)


def _continued(
    read: Mapping[str, Sequences],
    parts: Mapping[str, tuple[ParquetSource, Columns]],
    users: Numbering,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Take of each user the longest of three sequences that continue each other.

    Returns:
        The items of all three; where the longest of each user begins there and how long it is; and,
        from its begin, where the targets of validation and of the test begin.
    """
    pool = np.concatenate([found.items for found in read.values()])
    offsets = starts_of(np.array([len(found.items) for found in read.values()]))
    begin, lengths = np.zeros(len(users), np.int64), np.zeros(len(users), np.int64)
    cuts, before = [], ""
    for (part, found), offset in zip(read.items(), offsets.tolist(), strict=False):
        own_begin, own = found.of_users(len(users))
        there = own > 0
        if before:
            cuts.append(lengths.copy())
            _require_continued(
                pool, (begin, lengths), (own_begin + offset, own), there, users,
                (parts[before][0].location, parts[part][0].location),
            )  # fmt: skip
        begin[there], lengths[there] = own_begin[there] + offset, own[there]
        before = part
    return pool, begin, lengths, np.column_stack(cuts)


def _require_continued(
    pool: np.ndarray,
    earlier: tuple[np.ndarray, np.ndarray],
    later: tuple[np.ndarray, np.ndarray],
    there: np.ndarray,
    users: Numbering,
    names: tuple[str, str],
) -> None:
    """Raise `BadInput` where a sequence does not begin with the one of the file before."""
    (begin, length), (own_begin, own) = earlier, later
    both = there & (length > 0)
    short = both & (own < length)
    compared = np.where(both & ~short, length, 0)
    differ = pool[stretches(begin, compared)] != pool[stretches(own_begin, compared)]
    wrong = short.copy()
    wrong[np.repeat(np.arange(len(length)), compared)[differ]] = True
    if wrong.any():
        user = int(wrong.argmax())
        raise BadInput(
            f"the sequence of user {users.name(user)} does not begin with that of {names[0]}"
            f" ({int(wrong.sum()):,} users in all)",
            where=names[1],
            expected="sequences that continue those learned from, and end with their target",
            do="write the whole history of each user, or one file of all events",
        )
