"""Which columns of a user's file hold users, items and times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from semantic_ids.errors import BadInput
from semantic_ids.ingestion.check import Wanted, check_column, check_id_kinds, guess, listed
from semantic_ids.ingestion.columns import is_id, is_list
from semantic_ids.ingestion.footers import Footer
from semantic_ids.ingestion.history_options import AUTO, NO_COLUMN, HistoryOptions
from semantic_ids.ingestion.history_times import is_time, kind_of_times
from semantic_ids.ingestion.source import ParquetSource


def is_sequence(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold sequences of items."""
    return is_list(kind) and is_id(kind.value_type)


def _is_target(kind: pa.DataType) -> bool:
    return is_id(kind) or pa.types.is_null(kind)


@dataclass(frozen=True)
class Role:
    """What a column is for.

    Attributes:
        name: One word.
        usual: What such columns are usually called, in small letters and digits alone; the first
            that is there is taken.
        fits: Whether a type can hold it.
        expected: The types, in words.
    """

    name: str
    usual: tuple[str, ...]
    fits: Callable[[pa.DataType], bool]
    expected: str

    @property
    def option(self) -> str:
        """The option that names the column."""
        return f"history.{self.name}_column"

    def among(self, footer: Footer) -> str | None:
        """Return the column that is called as usual, or None.

        Raises:
            BadInput: Two are called alike.
        """
        called: dict[str, list[str]] = {}
        for column in footer.schema.names:
            called.setdefault(_plain(column), []).append(column)
        for name in self.usual:
            if len(found := called.get(name, [])) > 1 and len(set(found)) > 1:
                raise BadInput(
                    f"the columns {' and '.join(repr(column) for column in found)} may both be that"
                    f" of the {self.name}",
                    where=footer.file,
                    expected="one of that name",
                    do=f"name it with {self.option}={found[0]}",
                )
            if found:
                return found[0]
        return None


USER = Role(
    "user",
    ("user", "userid", "uid", "reviewerid", "customer", "customerid", "memberid", "visitorid",
     "session", "sessionid"),
    is_id,
    "integers or strings",
)  # fmt: skip
SEQUENCE = Role(
    "sequence",
    ("sequence", "sequences", "history", "items", "itemids", "itemsequence"),
    is_sequence,
    "lists of integers or of strings",
)
TARGET = Role("target", ("target",), _is_target, "integers or strings")
ITEM = Role(
    "item",
    ("item", "itemid", "iid", "asin", "parentasin", "product", "productid", "article", "articleid",
     "movieid", "trackid", "sku"),
    is_id,
    "integers or strings",
)  # fmt: skip
TIME = Role(
    "time",
    ("timestamp", "time", "ts", "datetime", "date", "eventtime", "unixreviewtime", "createdat"),
    is_time,
    "timestamps, dates, numbers, or text in ISO 8601",
)


@dataclass(frozen=True)
class Columns:
    """Names of the columns of one source; either `sequence`, or `item` and `time`."""

    user: str
    sequence: str | None = None
    target: str | None = None
    item: str | None = None
    time: str | None = None

    def in_words(self) -> str:
        """Name the columns that are read."""
        names = (self.user, self.sequence, self.target, self.item, self.time)
        return f"reading the columns {', '.join(name for name in names if name is not None)}"


def columns_of(source: ParquetSource, options: HistoryOptions) -> Columns:
    """Find the columns of a source and check their types, by the footers alone.

    Raises:
        BadInput: There are no rows, a column is missing, cannot be told, or is of a type that
            cannot be read.
    """
    known = [footer for footer in source.footers if footer.rows]
    if not known:
        raise BadInput(
            "there are no rows", where=source.location, expected="at least one user with items"
        )
    first = known[0]
    user = _named(USER, options.user_column, first) or _missing([USER], first)
    found = _of_sequences(user, first, options) or _of_events(user, first, options)
    wanted = [(USER, found.user), (SEQUENCE, found.sequence), (TARGET, found.target)]
    wanted += [(ITEM, found.item), (TIME, found.time)]
    for role, name in wanted:
        if name is not None:
            others = tuple(other for _, other in wanted if other not in (None, name))
            _check(Wanted(name, role.option, role.fits, role.expected, others), source, known)
    return found


def _of_sequences(user: str, footer: Footer, options: HistoryOptions) -> Columns | None:
    """Return the columns of a file with a row a user, None where it has a row an event."""
    if (options.item_column, options.time_column) != (AUTO, AUTO):
        return None
    sequence = _named(SEQUENCE, options.sequence_column, footer)
    if sequence is None:
        return None
    target = _named(TARGET, options.target_column, footer)
    return Columns(user, sequence=sequence, target=target)


def _of_events(user: str, footer: Footer, options: HistoryOptions) -> Columns:
    item = _named(ITEM, options.item_column, footer)
    time = _named(TIME, options.time_column, footer)
    if item is None and time is None:
        _missing([SEQUENCE, ITEM, TIME], footer, user)
    if options.target_column not in (AUTO, NO_COLUMN):
        raise BadInput(
            "a column of targets is named, but there is a row an event here",
            where=footer.file,
            expected="targets beside sequences",
            do="leave history.target_column out",
        )
    item = item or _missing([ITEM], footer, user, time or "")
    time = time or _missing([TIME], footer, user, item)
    return Columns(user, item=item, time=time)


def _named(role: Role, given: str, footer: Footer) -> str | None:
    """Return the column that an option names, or the one that is called as usual, or None."""
    if given == NO_COLUMN and role is TARGET:
        return None
    return role.among(footer) if given == AUTO else given


def _missing(roles: list[Role], footer: Footer, *taken: str) -> str:
    """Refuse a file in which no column is called as one of its kind usually is."""
    role = roles[0]
    found = "no column looks like that of the " + (
        "sequences, and none like those of items and times" if len(roles) > 1 else role.name
    )
    raise BadInput(
        f"{found}; the columns are {listed(footer.schema)}",
        where=footer.file,
        expected="columns user and sequence, or user, item and timestamp, or the like",
        do=f"name it with {role.option}={guess(footer.schema, '', role.fits, taken)}",
    )


def _check(wanted: Wanted, source: ParquetSource, footers: Iterable[Footer]) -> None:
    name, times = wanted.name, dict[str, Footer]()
    for footer in footers:
        check_column(footer, wanted)
        kind = footer.kind(name)
        if wanted.fits is TIME.fits and kind is not None:
            times.setdefault(kind_of_times(kind), footer)
    if wanted.fits is USER.fits:
        check_id_kinds(source, name)
    if len(times) > 1:
        (_, one), (_, other) = times.items()
        raise BadInput(
            f"column '{name}' is {other.kind(name)} here, but {one.kind(name)} in {one.file}",
            where=other.file,
            expected="numbers in all files, or instants in all files",
            do="write the times with one type",
        )


def _plain(column: str) -> str:
    """Return a name in small letters and digits: `user_id`, `UserID` and `user_id:token` alike."""
    return re.sub(r"[^a-z0-9]", "", column.partition(":")[0].lower())
