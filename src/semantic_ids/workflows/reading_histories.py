"""User histories in parquet files → `Histories`: read, checked and split."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.recommenders import splits
from semantic_ids.recommenders.histories import Histories, catalogue_of, content_of

if TYPE_CHECKING:
    import pyarrow as pa

    from semantic_ids.ingestion.history_options import HistoryOptions
    from semantic_ids.ingestion.history_source import HistorySource
    from semantic_ids.ingestion.user_events import UserEvents

logger = logging.getLogger(__name__)

_OF_NO_ACCOUNT = ("length", "max_unknown")
"""Options that histories do not depend on."""


def check_histories(source: HistorySource, options: HistoryOptions) -> None:
    """Refuse all that can be told without the catalogue: every row is read.

    Raises:
        BadInput: Something is not what it should be.
    """
    _read(source, None, options)


def read_histories(source: HistorySource, item_ids: pa.Array, options: HistoryOptions) -> Histories:
    """Read and split the histories of all users.

    Args:
        source: Where they are.
        item_ids: n ids, int64 or text, in the order of the item hash: the items that have an ID.
        options: What to read, and how to split it.

    Raises:
        BadInput: Something is not what it should be.
    """
    events, cuts, report = _read(source, item_ids, options)
    made_from = {"item_ids": catalogue_of(item_ids.to_pylist()).fingerprint}
    content = content_of(events.users.to_pylist(), events.items, events.starts, cuts)
    parameters = {n: v for n, v in options.to_dict().items() if n not in _OF_NO_ACCOUNT}
    provenance = Provenance("histories", made_from, parameters, content)
    made = Histories(events.users, events.items, events.starts, cuts, provenance, report)
    targets = {f"targets_{part}": len(made.targets(part)) for part in ("train", "valid", "test")}
    cold = made.training_counts(len(item_ids))[made.items[made.targets("test")]] == 0
    made = Histories(
        events.users,
        events.items,
        events.starts,
        cuts,
        provenance,
        report | targets | {"targets_test_cold": int(cold.sum())},
    )
    _say(made, options.length)
    return made


def _read(
    source: HistorySource, item_ids: pa.Array | None, options: HistoryOptions
) -> tuple[UserEvents, np.ndarray, dict[str, Any]]:
    """Return the events of all users, their cuts, and what was read.

    Raises:
        BadInput: Something is not what it should be, or there is nothing to learn from, or to
            predict.
    """
    from semantic_ids.ingestion.histories import read_user_events, time_bounds

    bounds = time_bounds(source, options)
    events = read_user_events(source, item_ids, options)
    report: dict[str, Any] = {"split": "files" if source.is_split else options.split}
    if events.cuts is not None:
        cuts = splits.given(events.starts, events.cuts)
    elif options.split == "time" and events.times is not None:
        shares = options.time.valid_share, options.time.test_share
        at = bounds or splits.instants(events.times, *shares)
        report |= {"valid_from": at[0], "test_from": at[1]}
        cuts = splits.by_time(events.starts, events.times, *at)
    else:
        cuts = splits.leave_one_out(events.starts)
    _require_targets(events.starts, cuts, source)
    counts = {"users": len(events), "events": len(events.items)}
    return events, cuts, report | dict(events.counts) | counts


def _require_targets(starts: np.ndarray, cuts: np.ndarray, source: HistorySource) -> None:
    """Raise `BadInput` where there is nothing to learn from, to choose by, or to judge by."""
    found = {
        "to learn from": (cuts[:, 0] - starts[:-1]).max(),
        "for validation": (cuts[:, 2] - cuts[:, 1]).max(),
        "for the test": (starts[1:] - cuts[:, 2]).max(),
    }
    for what, most in found.items():
        if most < 1:
            raise BadInput(
                f"no user has an event {what}",
                where=source.location,
                expected="events to learn from, for validation and for the test",
                do="give longer histories, or another split: history.split, history.time",
            )


def _say(made: Histories, length: int) -> None:
    report = made.report
    logger.info(
        "%s users with %s events; to be predicted: %s to learn, %s for validation, %s in the test,"
        " %s of them of items in no history learned from",
        *(
            f"{report[name]:,}"
            for name in (
                "users",
                "events",
                "targets_train",
                "targets_valid",
                "targets_test",
                "targets_test_cold",
            )
        ),
    )
    longer = int((np.diff(made.starts) > length + 1).sum())
    if longer:
        logger.info(
            "%s users had more than %d items before the last: the last %d are looked at",
            f"{longer:,}",
            length,
            length,
        )
