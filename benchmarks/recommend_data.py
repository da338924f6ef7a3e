"""What the benchmarks of recommenders share: Amazon Beauty, its IDs, and a file of results.

Results are lines of JSON, each appended as soon as it is there: a benchmark that is killed goes on
where it was, and pages are made of the file.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import DataSet, prepare
from benchmarks.machine import commit, machine, today
from benchmarks.selection import nested
from benchmarks.systems import base_values, dotted
from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.atomic import atomic_file
from semantic_ids.hashing import fingerprint
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.workflows.fitting import FitOptions

ROOT = Path(__file__).parents[1]
BEAUTY = ROOT.parent / "shared/data/amazon_beauty"
NEEDED = ("item_emb.parquet", "train.parquet", "valid.parquet", "test.parquet")
KS = (5, 10)
VALUES = "|"
"""Between the values of an option in a grid."""

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Data:
    """Items and users: everything that IDs and recommenders are made of.

    Attributes:
        embeddings: The catalogue.
        histories: Who had which items, split as the files are.
        length: Most items of a history.
    """

    embeddings: Embeddings
    histories: Histories
    length: int

    @property
    def vectors(self) -> np.ndarray:
        """Shape (n, D), float32."""
        return np.asarray(self.embeddings.vectors, np.float32)

    @property
    def events(self) -> np.ndarray:
        """Shape (n,): training events of each item."""
        return self.histories.training_counts(len(self.embeddings))


def missing(folder: Path) -> str:
    """Return what a folder lacks, as a sentence; nothing if it has all."""
    absent = [name for name in NEEDED if not (folder / name).exists()]
    return f"skipped: {folder} has no {', '.join(absent)}" if absent else ""


def read(folder: Path, work: Path, users: int | None = None) -> Data:
    """Read items and histories as the pipeline reads them.

    Args:
        folder: Where the files are, `NEEDED`.
        work: Where the vectors are put in order.
        users: The first so many by the hash of their ids; all if None.
    """
    from semantic_ids.datasets.embeddings import EmbeddingsDataset
    from semantic_ids.ingestion.history_options import HistoryOptions
    from semantic_ids.ingestion.history_source import HistorySource
    from semantic_ids.workflows.reading_histories import read_histories

    file = folder / NEEDED[0]
    data = DataSet("items", "Items", file, lambda folder, quick: file)
    prepare(data, work / "embeddings", quick=False)
    embeddings = EmbeddingsDataset(str(work / "embeddings")).load()
    options = HistoryOptions(max_users=users)
    histories = read_histories(HistorySource(str(folder)), embeddings.item_ids, options)
    return Data(embeddings, histories, options.length)


def first_users(histories: Histories, users: int) -> Histories:
    """Return the first users of all, who are a random sample: they lie in the order of a hash."""
    users = min(users, len(histories))
    starts = histories.starts[: users + 1]
    return replace(
        histories,
        users=histories.users[:users],
        items=histories.items[: int(starts[-1])],
        starts=starts,
        cuts=histories.cuts[:users],
    )


# ---- options ---------------------------------------------------------------------------------


def recommender_options(changes: Mapping[str, Any] | None = None) -> RecommenderOptions:
    """Return the project's options of a recommender, with dotted changes."""
    return RecommenderOptions.of(
        nested(dict(dotted(base_values("recommender"))) | dict(changes or {}))
    )


def fit_options(
    tokenizer: Mapping[str, Any] | None = None, identify: Mapping[str, Any] | None = None
) -> FitOptions:
    """Return the project's options of tokenizer and IDs, with dotted changes."""
    known = nested(dict(dotted(base_values("tokenizer"))) | dict(tokenizer or {}))
    unique = base_values("identify") | dict(identify or {})
    return FitOptions(
        kind=known["kind"],
        codebook_sizes=tuple(known["codebook_sizes"]),
        seed=known["seed"],
        device="cpu",
        preprocess=known["preprocess"],
        options=known[known["kind"]],
        strategy=unique["strategy"],
        candidates=unique["candidates"],
    )


def grid(text: str) -> list[dict[str, Any]]:
    """Return the variants of `a.b=1|2,c.d=x|y`: all combinations of the values, 4 of these.

    Raises:
        argparse.ArgumentTypeError: A part is not `name=value`.
    """
    axes = []
    for part in text.split(","):
        name, given, values = part.partition("=")
        if not name or not given:
            raise argparse.ArgumentTypeError(f"{part!r} is not name=value{VALUES}value")
        axes.append([(name, value_of(value)) for value in values.split(VALUES)])
    return [dict(found) for found in itertools.product(*axes)]


def value_of(text: str) -> Any:
    """Read a value as JSON, or as the text that it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- IDs that are kept -----------------------------------------------------------------------


def codes_of(data: Data, ids: Any, name: str) -> Codes:
    """Return IDs of the catalogue from anything that has `codes`, `sizes` and `levels`."""
    inputs = {"embeddings": data.embeddings.provenance.fingerprint}
    codes = np.asarray(ids.codes, np.int32)
    made = Provenance("semantic_ids", inputs, {"name": name}, fingerprint(codes))
    return Codes(data.embeddings.item_ids, codes, tuple(ids.sizes), int(ids.levels), made)


def kept_ids(
    work: Path, data: Data, options: Any, make: Callable[[], tuple[Any, Row]]
) -> tuple[Codes, Row]:
    """Return IDs and what was measured of them, made once and kept in a folder.

    Args:
        work: The folder.
        data: The catalogue.
        options: What the IDs follow from, JSON-like.
        make: Makes them.
    """
    key = fingerprint(data.embeddings.provenance.fingerprint, json.dumps(options, sort_keys=True))
    file = work / f"ids-{key}.npz"
    if not file.exists():
        ids, metrics = make()
        held = io.BytesIO()
        np.savez(
            held,
            codes=np.asarray(ids.codes, np.int32),
            sizes=np.array(ids.sizes),
            levels=np.array(ids.levels),
            metrics=np.array(json.dumps(metrics, default=float)),
        )
        with atomic_file(file) as temporary:
            temporary.write_bytes(held.getvalue())
    with np.load(file, allow_pickle=False) as found:
        known = Codes(
            data.embeddings.item_ids,
            found["codes"],
            tuple(found["sizes"].tolist()),
            int(found["levels"]),
            Provenance("semantic_ids"),
        )
        return codes_of(data, known, key), json.loads(str(found["metrics"]))


# ---- results ---------------------------------------------------------------------------------


class Results:
    """A file of rows, each with a `key` that says what it is the result of.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = list(_lines(path))

    def find(self, key: Mapping[str, Any]) -> Row | None:
        """Return the last row of a key."""
        return next((row for row in reversed(self.rows) if row["key"] == dict(key)), None)

    def once(self, key: Mapping[str, Any], work: Callable[[], Row]) -> Row:
        """Return the row of a key; where there is none do the work, and append it."""
        found = self.find(key)
        if found is not None:
            return found
        said = {name: value for name, value in key.items() if name != "options"}
        print(f"{json.dumps(said)} …", flush=True)
        began, used = time.perf_counter(), time.process_time()
        row = json.loads(json.dumps({"key": dict(key), **work(), "about": about()}, default=float))
        row["about"]["seconds"] = time.perf_counter() - began
        row["about"]["cpu_seconds"] = time.process_time() - used
        self.add(row)
        return row

    def add(self, row: Row) -> None:
        """Append a row; half a line that a killed run has left is ended first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and self.path.read_bytes()[-1:] not in {b"", b"\n"}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)


def _lines(path: Path) -> Iterator[Row]:
    """Yield the rows of a file; a line that was not written to its end is passed over."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            print(f"{path}: passed over half a line", flush=True)


@contextmanager
def clock(into: Row) -> Iterator[None]:
    """Write down the seconds, and CPU seconds of all threads, that something takes."""
    began, used = time.perf_counter(), time.process_time()
    yield
    into |= {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - used}


def about() -> Row:
    """Return where, when, on what and by which command something is measured."""
    import torch

    return {
        "commit": commit(),
        "machine": machine(),
        "date": today(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "command": shlex.join(["python", *sys.argv]),
    }


# ---- pages -----------------------------------------------------------------------------------


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Write a table as Markdown; the first column is text, all others are numbers."""
    marks = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, marks, *lines])


def surroundings(rows: Sequence[Row]) -> str:
    """Write what the figures of some rows depend on; of several values all are named."""
    titles = {
        "date": "Date",
        "commit": "Commit",
        "machine": "Machine",
        "threads": "Threads",
        "command": "Command",
    }
    lines = []
    for name, title in titles.items():
        values = dict.fromkeys(str(row["about"][name]) for row in rows)
        said = ", ".join(f"`{value}`" if name == "command" else value for value in values)
        lines.append((title, said))
    load = max((row["about"]["load"] for row in rows), default=0.0)
    return "\n".join(
        f"| {' | '.join(line)} |"
        for line in [("", ""), ("---", "---"), *lines, ("Highest load", f"{load:.1f}")]
    )


def trial(rows: Sequence[Row]) -> str:
    """Write a warning where rows are of a trial."""
    if not any(row["key"].get("users") or row["key"].get("trial") for row in rows):
        return ""
    return '!!! warning "A trial"\n    Some users or few epochs only. The figures mean nothing.\n\n'
