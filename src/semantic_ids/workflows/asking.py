"""A trained recommender, asked by what users hold histories in: lists, columns, files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.atomic import atomic_file
from semantic_ids.errors import BadInput
from semantic_ids.progress import Progress
from semantic_ids.recommenders import recommender
from semantic_ids.recommenders.recommendations import Lists, Recommendations
from semantic_ids.recommenders.recommender import Recommended, Unknown, require_beam
from semantic_ids.runtime.files import PIPE, created, opened, require_apart
from semantic_ids.runtime.lines import read_lines
from semantic_ids.runtime.tables import is_tables

BLOCK_USERS = 4096
"""Users that are read at a time."""


class Recommender(recommender.Recommender):
    """A trained recommender; `load_recommender` returns one.

    It knows no users: whoever has a history can be recommended something.
    """

    def recommend(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Iterable[Any] | None = None,
        allow: Iterable[Any] | None = None,
        exclude_seen: bool | None = None,
        beam: int | None = None,
        unknown: Unknown = "skip",
    ) -> Recommended:
        """Recommend items that may come next.

        Args:
            histories: Of each user the ids of the items, the oldest first: lists, an array (u, T),
                a column of lists (of pandas, polars or pyarrow), or the path of a parquet file or
                of JSON lines with a user and a sequence a row. Of each the last items that are
                known count, as many as the recommender was trained to read.
            k: How many items.
            exclude: Ids of items that nobody is recommended.
            allow: Ids of the items that may be recommended; all by default.
            exclude_seen: Leave out what is in the history; by default as it was trained to.
            beam: Width of the beam, at least k; by default as it was trained to, or k.
            unknown: `skip` passes items over that the catalogue does not have, and counts them;
                `raise` refuses them.

        Raises:
            BadInput: No item is left to recommend, an unknown item where these are refused, a beam
                narrower than k, or a file that cannot be read.
        """
        if isinstance(histories, (str, Path)):
            parts = read_histories(str(histories))
            histories = [history for part in parts for history in part.histories]
        return super().recommend(
            histories,
            k,
            exclude=exclude,
            allow=allow,
            exclude_seen=exclude_seen,
            beam=beam,
            unknown=unknown,
        )


def load_recommender(directory: str | Path, device: str = "auto") -> Recommender:
    """Load a trained recommender; the folder has all that it needs.

    Args:
        directory: `data/06_models/recommender`, or a folder that `Recommender.save` has written.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        BadInput: There is none, or it is damaged.
    """
    return Recommender.load(directory, device)


@dataclass(frozen=True)
class Asked:
    """Some users and their histories.

    Attributes:
        users: Ids, as they came in.
        histories: Of each the ids of the items, the oldest first.
    """

    users: list[Any]
    histories: list[list[Any]]


@dataclass(frozen=True)
class Question:
    """What is asked for all users of a file.

    Attributes:
        k: How many items.
        beam: Width of the beam; None for that of the recommender, or k.
        exclude_seen: Whether what is in a history is left out; None for as it was trained to.
        allow: Ids of the items that may be recommended.
        exclude: Ids of those that may not.
        unknown: See `Recommender.recommend`.
    """

    k: int = 10
    beam: int | None = None
    exclude_seen: bool | None = None
    allow: list[str] | None = None
    exclude: list[str] | None = None
    unknown: Unknown = "skip"


def recommend_file(
    recommender: Recommender, source: str, target: str, question: Question
) -> tuple[int, int]:
    """Recommend items to all users of a file, some at a time.

    Args:
        recommender: Who is asked.
        source: A parquet file, a folder of them or a glob, JSON lines, or `-` for these from stdin.
        target: A parquet file, which is written whole or not at all, JSON lines, or `-`.
        question: What is asked.

    Returns:
        How many users there were, and how many of their items the catalogue does not have.

    Raises:
        BadInput: See `Recommender.recommend`.
    """
    require_apart(source, target)
    width = question.beam or max(question.k, recommender.options.decoding.beam)
    require_beam(question.k, width)
    seen = question.exclude_seen
    seen = recommender.options.decoding.exclude_seen if seen is None else seen
    choice = recommender.choice(question.exclude, question.allow)
    unknown = 0

    def parts() -> Iterator[Lists]:
        nonlocal unknown
        with Progress("recommend", None, "users") as progress:
            for part in read_histories(source):
                rows, missing = recommender.rows(part.histories, question.unknown)
                unknown += missing
                at = 0
                for items, scores in recommender.lists(
                    rows, question.k, choice, width, exclude_seen=seen
                ):
                    yield part.users[at : at + len(items)], items, scores
                    at += len(items)
                progress.advance(len(part.users))

    given = {"k": question.k, "beam": width, "exclude_seen": seen}
    made = Provenance("recommendations", {"recommender": recommender.provenance.fingerprint}, given)
    write = _write_parquet if target.endswith(".parquet") else _write_lines
    return write(recommender, parts, question.k, made, target), unknown


def _write_parquet(
    recommender: Recommender,
    parts: Callable[[], Iterator[Lists]],
    k: int,
    made: Provenance,
    target: str,
) -> int:
    from itertools import chain

    import pyarrow as pa

    from semantic_ids.workflows.recommendation_file import write_recommendations

    lists = parts()
    first = next(lists, None)
    kind = pa.string() if first is None else _column(first[0]).type
    every = chain([] if first is None else [first], lists)
    columns = ((_column(users, kind), rows, scores) for users, rows, scores in every)
    nobody, items = pa.array([], kind), recommender.catalogue.item_ids
    with atomic_file(target, "OUT") as temporary:
        found = Recommendations(nobody, items, k, lambda: columns, made)
        return write_recommendations(temporary, found)


def _column(users: list[Any], kind: Any = None) -> Any:
    """Return ids of users as a pyarrow array."""
    import pyarrow as pa

    try:
        return pa.array(users, kind)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise BadInput(
            f"users of several types ({error})",
            where="user",
            expected="whole numbers alone, or text alone",
            do="write JSON lines, which may have both",
        ) from error


def _write_lines(
    recommender: Recommender,
    parts: Callable[[], Iterator[Lists]],
    k: int,
    made: Provenance,
    target: str,
) -> int:
    """Write `{"user": …, "item_ids": […], "log_probabilities": […]}`, a line a user."""
    names, done = recommender.catalogue.item_ids, 0
    with created(target) as out:
        for users, rows, scores in parts():
            for user, items, values in zip(users, rows, scores, strict=True):
                there = items >= 0
                line = {
                    "user": user,
                    "item_ids": names[items[there]].tolist(),
                    "log_probabilities": values[there].astype(np.float64).round(6).tolist(),
                }
                out.write(f"{json.dumps(line, ensure_ascii=False)}\n".encode())
                done += 1
            if target == PIPE:
                out.flush()
    return done


def read_histories(source: str) -> Iterator[Asked]:
    """Yield users and histories of a file, some at a time.

    Args:
        source: Parquet (a file, a folder or a glob) with a row a user, whose columns are found as
            those of a training are; or JSON lines, or `-` for these from stdin: lists, or objects
            with `user` and `sequence`. Of a list the user is its number, from 0.
    """
    return _of_tables(source) if is_tables(source) else _of_lines(source)


def _of_tables(source: str) -> Iterator[Asked]:
    from semantic_ids.ingestion.history_columns import columns_of
    from semantic_ids.ingestion.history_options import HistoryOptions
    from semantic_ids.ingestion.source import ParquetSource

    files = ParquetSource(source, favourite="sequences.parquet", parameter="IN")
    columns = columns_of(files, HistoryOptions())
    if columns.sequence is None:
        raise BadInput(
            "there is a row an event here",
            where=source,
            expected="a row a user: columns user and sequence",
            do="gather the items of each user in a list, the oldest first",
        )
    for batch in files.batches([columns.user, columns.sequence]):
        for start in range(0, len(batch.columns), BLOCK_USERS):
            part = batch.columns.slice(start, BLOCK_USERS)
            users, sequences = (column.to_pylist() for column in part.columns)
            yield Asked(users, [sequence or [] for sequence in sequences])


def _of_lines(source: str) -> Iterator[Asked]:
    with opened(source) as file:
        users: list[Any] = []
        histories: list[list[Any]] = []
        where = "stdin" if source == PIPE else source
        for number, line in enumerate(read_lines(file, where)):
            if not line.strip():
                continue
            user, history = _parsed(line, f"{where}, line {number + 1}")
            users.append(number if user is None else user)
            histories.append(history)
            if len(users) == BLOCK_USERS:
                yield Asked(users, histories)
                users, histories = [], []
        if users:
            yield Asked(users, histories)


def _parsed(line: bytes, where: str) -> tuple[Any, list[Any]]:
    """Return the user, None where a line has none, and the history of a line."""
    expected = "a list of item ids, or an object with 'user' and 'sequence'"
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"no JSON ({error})", where=where, expected=expected) from error
    user = None
    if isinstance(found, dict):
        user, found = found.get("user"), found.get("sequence")
    if not isinstance(found, list) or not {*map(type, found)} <= {int, str}:
        raise BadInput("no list of item ids", where=where, expected=expected)
    return user, found
