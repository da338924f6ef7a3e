"""Run a case in a process of its own and say what came of it.

An abort of a library takes the process of the case alone.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.forks import import_program, in_a_fork, program
from tests.fuzz.cases import MAKERS, Place, write_base

REFUSED, MALFORMED = 1, 2


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        group, kind: What was tried.
        seed: Makes the same case again.
        words: The command line.
        result: `read`, `refused`, or what is wrong: see `judge`.
        text: What the program wrote.
    """

    group: str
    kind: str
    seed: str
    words: list[str]
    result: str
    text: str

    @property
    def is_defect(self) -> bool:
        """Whether the program is to blame."""
        return self.result not in {"read", "refused"}


def judge(status: int, text: str, rows: int | None, written: int | None) -> str:
    """Say what came of a run.

    Args:
        status: Exit code, or the negative number of a signal.
        text: What it wrote on the terminal.
        rows: Rows that went in, where that is known.
        written: Rows among the items and the rejected ones afterwards; None where nothing is.

    Returns:
        `read`: every row is an item or listed as rejected. `refused`: a message and exit code 1 or
        2. Else `traceback`, `abort`, `no message`, `rows lost`, or `exit code N`.
    """
    if "Traceback (most recent call last)" in text:
        return "traceback"
    if status < 0:
        return "abort" if status != -signal.SIGALRM else "too slow"
    if status == 0:
        return "rows lost" if rows is not None and written != rows else "read"
    if status in {REFUSED, MALFORMED}:
        return (
            "refused"
            if any(line.startswith("Error: ") for line in text.splitlines())
            else ("no message")
        )
    return f"exit code {status}"


def _count(data: Path) -> int:
    """Count the items and the rejected rows of a run: the exit code is too small for it."""
    import pyarrow.parquet as pq

    files = (data / "03_primary/embeddings/item_ids.parquet", data / "02_intermediate")
    rows = pq.read_metadata(files[0]).num_rows
    rejected = files[1] / "rejected.parquet"
    rows += pq.read_metadata(rejected).num_rows if rejected.is_file() else 0
    print(rows)
    return 0


def _written(folder: Path) -> int | None:
    """Return how many rows a run left, None where there is no artifact."""
    output = folder / "count.txt"
    in_a_fork(lambda: _count(folder / "data"), output)
    text = output.read_text().strip()
    return int(text) if text.isdigit() else None


def try_one(group: str, seed: str, base: dict[str, Path]) -> Outcome:
    """Make a case and run it."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz_"))
    try:
        output = folder / "terminal.txt"
        place = Place(folder, base, random.Random(seed))
        description = folder / "case.txt"

        def make() -> int:
            case = MAKERS[group](place)
            lines = [case.kind, "" if case.rows is None else str(case.rows), *case.words]
            description.write_text("\0".join(lines))
            return 0

        if in_a_fork(make, folder / "making.txt"):
            raise RuntimeError((folder / "making.txt").read_text())
        kind, rows, *words = description.read_text().split("\0")
        status = in_a_fork(lambda: program(words), output)
        text = output.read_text(errors="replace") if output.is_file() else ""
        result = judge(status, text, int(rows) if rows else None, _written(folder))
        return Outcome(group, kind, seed, words, result, text)
    finally:
        shutil.rmtree(folder)


def outcomes(seed: int, seconds: float, most: int | None = None) -> Iterator[Outcome]:
    """Try cases of all groups in turn, until the time is over or there were so many."""
    import_program()
    begun, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="fuzz_base_") as temporary:
        folder = Path(temporary)

        def write() -> int:
            write_base(folder)
            return 0

        if in_a_fork(write, folder / "base.txt"):
            raise RuntimeError((folder / "base.txt").read_text())
        base = {file.stem: file for file in sorted(folder.glob("*.parquet"))}
        while time.monotonic() - begun < seconds and (most is None or number < most):
            for group in MAKERS:
                yield try_one(group, f"{seed}-{number}-{group}", base)
            number += 1
