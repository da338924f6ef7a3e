"""Parquet files of user histories → the events of each user, in order."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.history_columns import Columns, columns_of
from semantic_ids.ingestion.history_events import read_events
from semantic_ids.ingestion.history_ids import Catalogue
from semantic_ids.ingestion.history_options import HistoryOptions
from semantic_ids.ingestion.history_sequences import read_sequences
from semantic_ids.ingestion.history_source import HistorySource
from semantic_ids.ingestion.history_times import INSTANTS, instant, kind_of_times
from semantic_ids.ingestion.user_events import UserEvents

logger = logging.getLogger(__name__)


def check_columns(source: HistorySource, options: HistoryOptions) -> dict[str, Columns]:
    """Find and check the columns of every part, by footers and options alone.

    Returns:
        Part → its columns.

    Raises:
        BadInput: A file or a column is not what it should be, or options have no meaning for it.
    """
    found = {part: columns_of(files, options) for part, files in source.parts.items()}
    first = next(iter(found.values()))
    for part, columns in found.items():
        if (columns.sequence is None) != (first.sequence is None):
            raise BadInput(
                f"{part} has a row {'an event' if columns.sequence is None else 'a user'}, and"
                f" {next(iter(found))} has not",
                where=source.location,
                expected="train, valid and test of one kind",
            )
    if source.is_split:
        _refuse_of_split_files(source, options)
    if first.sequence is not None:
        _refuse_of_sequences(source, options)
    return found


def _refuse_of_split_files(source: HistorySource, options: HistoryOptions) -> None:
    usual = HistoryOptions()
    for name in ("split", "min_events"):
        if getattr(options, name) != getattr(usual, name):
            raise BadInput(
                f"{getattr(options, name)!r} would have no effect: the files are split already",
                where=f"history.{name}",
                do=f"leave it out, or give one file of all events in place of {source.location}",
            )


def _refuse_of_sequences(source: HistorySource, options: HistoryOptions) -> None:
    if options.split == "time":
        raise BadInput(
            "sequences have no times to split by",
            where=source.location,
            expected="rows of user, item and timestamp",
            do="take history.split=leave_one_out",
        )
    if options.duplicates != HistoryOptions().duplicates:
        raise BadInput(
            f"{options.duplicates!r} would have no effect: sequences have no times, and are taken"
            " as they are",
            where="history.duplicates",
            do="leave it out",
        )


def time_bounds(source: HistorySource, options: HistoryOptions) -> tuple[float, float] | None:
    """Return the instants that validation and test begin at, as numbers like the times of events.

    None where the split is not by instants.

    Raises:
        BadInput: They are not of the kind of the column, or not in order.
    """
    if options.split != "time" or not options.time.by_instants:
        return None
    files = next(iter(source.parts.values()))
    columns = columns_of(files, options)
    footer = next(footer for footer in files.footers if footer.rows)
    kind = footer.kind(columns.time) if columns.time else None
    is_of = INSTANTS if kind is None else kind_of_times(kind)
    valid_from, test_from = (
        instant(str(getattr(options.time, name)), is_of, f"history.time.{name}")
        for name in ("valid_from", "test_from")
    )
    if not valid_from < test_from:
        raise BadInput(
            f"validation begins at {options.time.valid_from}, the test at {options.time.test_from}",
            where="history.time",
            expected="validation before the test",
        )
    return valid_from, test_from


def read_user_events(
    source: HistorySource, item_ids: pa.Array | None, options: HistoryOptions
) -> UserEvents:
    """Read the events of all users; users and events that cannot be used are left out and counted.

    Args:
        source: Where they are.
        item_ids: n ids, the catalogue in the order of the item hash. None where it is not known
            yet: all that can be told without it is checked then.
        options: What to read.

    Raises:
        BadInput: A file, a column, a row is not what it should be; too many events are of unknown
            items; nobody is left.
    """
    columns = check_columns(source, options)
    logger.info("%s: %s", source.location, next(iter(columns.values())).in_words())
    parts = {part: (files, columns[part]) for part, files in source.parts.items()}
    catalogue = Catalogue(item_ids)
    if next(iter(columns.values())).sequence is not None:
        found = read_sequences(parts, catalogue)
    else:
        found = read_events(parts, catalogue, drop=options.duplicates == "drop")
    counts = dict(found.counts) | {"items_unknown": catalogue.unknown_items}
    _refuse_unknown(source, catalogue, counts, options.max_unknown)
    return _of_enough_events(replace(found, counts=counts).known(), source, options)


def _refuse_unknown(
    source: HistorySource, catalogue: Catalogue, counts: dict[str, int], most: float
) -> None:
    """Say which items are not in the catalogue, and refuse too many of them."""
    unknown, read = counts["events_unknown"], counts["events_read"]
    if not unknown:
        return
    share = unknown / read
    found = (
        f"{unknown:,} of {read:,} events ({share:.1%}) are of {counts['items_unknown']:,} items"
        f" that have no ID, such as {catalogue.some_unknown()}"
    )
    if share > most:
        raise BadInput(
            found,
            where=source.location,
            expected=f"at most {most:.0%}, as history.max_unknown says",
            do="give the histories of the items that the IDs were made of, make IDs of these items,"
            " or leave more out: history.max_unknown=1",
        )
    logger.warning("%s; they are left out", found)


def _of_enough_events(
    found: UserEvents, source: HistorySource, options: HistoryOptions
) -> UserEvents:
    """Leave out users with too few events, and all but the first ones if only so many are
    wanted.
    """
    least = 1 if source.is_split else options.min_events
    kept = np.diff(found.starts) >= least
    counts = dict(found.counts) | {"users_dropped": int((~kept).sum())}
    if not kept.any():
        raise BadInput(
            f"none of {len(kept):,} users has {least} events of items that have an ID",
            where=source.location,
            expected="longer histories",
            do="give more events of each user, or lower history.min_events",
        )
    if counts["users_dropped"]:
        logger.info(
            "%s of %s users have fewer than %d events and are left out",
            f"{counts['users_dropped']:,}",
            f"{len(kept):,}",
            least,
        )
    if options.max_users is not None:
        kept[np.flatnonzero(kept)[options.max_users :]] = False
    return replace(found.of_users(kept), counts=counts)
