"""Options of user histories: how they are read, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Literal

from semantic_ids.errors import BadInput
from semantic_ids.options import Options, option

AUTO = "auto"
"""Name of a column that is to be found by what columns of its kind are usually called."""
NO_COLUMN = "none"
"""Name of a column that is not to be read."""


@dataclass(frozen=True)
class TimeSplitOptions(Options):
    """With split time: from when on events are targets. Either two instants, or two shares."""

    group: ClassVar[str] = "history.time"

    valid_share: float = option(
        0.1,
        "Share of the events, the last ones in time before those of the test, that validation"
        " begins with. Events of the instant it begins at belong to it, so that the split does not"
        " depend on their order.",
        gt=0,
        lt=1,
    )
    test_share: float = option(
        0.1, "Share of the events, the last ones in time, that the test begins with.", gt=0, lt=1
    )
    valid_from: str | None = option(
        None,
        "Instant that validation begins at, in place of the shares: 2014-06-01,"
        " 2014-06-01T12:00:00+02:00 (UTC where it names no zone), or a number where the column of"
        " the time holds numbers.",
    )
    test_from: str | None = option(
        None, "Instant that the test begins at, in place of the shares; after valid_from."
    )

    @property
    def by_instants(self) -> bool:
        """Whether the instants are given."""
        return self.valid_from is not None

    def check(self) -> None:
        """Refuse one instant without the other, and shares beside instants."""
        if (self.valid_from is None) != (self.test_from is None):
            missing = "test_from" if self.test_from is None else "valid_from"
            raise BadInput(
                f"'{missing}' is not given, and the other instant is",
                where=self.group,
                expected="both instants, or none",
            )
        shares = (self.valid_share, self.test_share)
        usual = {known.name: known.default for known in fields(self)}
        if self.by_instants and shares != (usual["valid_share"], usual["test_share"]):
            raise BadInput(
                "shares would have no effect beside instants",
                where=self.group,
                expected="valid_share and test_share, or valid_from and test_from",
            )
        if sum(shares) >= 1:
            raise BadInput(
                f"validation and test would begin with {sum(shares):.0%} of all events",
                where=self.group,
                expected="shares that leave events to learn from",
            )


@dataclass(frozen=True)
class HistoryOptions(Options):
    """User histories: what is read, who is left out, what is learned from and what is predicted."""

    group: ClassVar[str] = "history"

    user_column: str = option(
        AUTO,
        "Column of the users: integers or strings, never null. auto finds one that is called user,"
        " user_id, UserID, reviewerID, customer_id, … or session_id.",
    )
    sequence_column: str = option(
        AUTO,
        "Column of the items that a user had, in order: a list of ids as in the catalogue, a row a"
        " user. auto finds sequence, history, items or item_ids.",
    )
    target_column: str = option(
        AUTO,
        "Beside sequences: the item that came next. Where it is the last one of every sequence"
        " already, it is passed over. auto finds target; none reads none.",
    )
    item_column: str = option(
        AUTO,
        "Where there is a row an event: column of the item. auto finds item, item_id, asin,"
        " product_id, ….",
    )
    time_column: str = option(
        AUTO,
        "Where there is a row an event: column of the time, timestamps, dates, numbers or ISO 8601"
        " text. auto finds timestamp, time, datetime, date, ….",
    )
    duplicates: Literal["drop", "keep"] = option(
        "drop",
        "Where there is a row an event: what to do with events of the same user, item and time but"
        " for one of them.",
    )
    max_unknown: float = option(
        0.1,
        "Events of items that have no ID are left out and counted; more of them than this share of"
        " all events is bad input.",
        ge=0,
        le=1,
    )
    min_events: int = option(
        3,
        "Users with fewer events are left out and counted. Three are one to learn from, one for"
        " validation, one for the test. Files that are split already are taken as they are.",
        ge=1,
    )
    max_users: int | None = option(
        None,
        "Take only this many users, the first by the hash of their id: for a quick try. null takes"
        " all.",
        ge=1,
    )
    length: int = option(
        20, "How many items of a history are looked at before an event: the last ones.", ge=1
    )
    split: Literal["leave_one_out", "time"] = option(
        "leave_one_out",
        "leave_one_out: of each user the last event is for the test, the one before for validation,"
        " all others are learned from. time: by two instants that are the same for all.",
    )
    time: TimeSplitOptions = option(TimeSplitOptions, "With split time.")

    def check(self) -> None:
        """Refuse what excludes each other."""
        if self.sequence_column != AUTO and (self.item_column, self.time_column) != (AUTO, AUTO):
            raise BadInput(
                "a column of sequences and one of single events are named",
                where=self.group,
                expected="sequence_column, or item_column and time_column",
            )
        if self.split != "time" and self.time != TimeSplitOptions():
            raise BadInput(
                "options of a split by time would have no effect",
                where="history.time",
                do="leave them out, or take history.split=time",
            )
        if self.split == "time" and self.sequence_column != AUTO:
            raise BadInput(
                "sequences have no times to split by",
                where="history.split",
                expected="leave_one_out, or rows of user, item and time",
            )
