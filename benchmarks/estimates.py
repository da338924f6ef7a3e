"""Hold what `train` told of seconds and memory against what the run then took, as rows of the table
in docs/capacity.md.

/usr/bin/time -v kedro run --pipeline=tokenize --params=data_root=/tmp/even,… > /tmp/even.log 2>&1
python benchmarks/estimates.py /tmp/even /tmp/even.log        any number of pairs of a data_root and
its log

The log is what the terminal showed or the file in logs/; without the words of /usr/bin/time,
measured memory is a dash.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STAGES = ("train", "encode", "deduplicate", "evaluate")
LINE = re.compile(r"(\d\d):(\d\d):(\d\d)(?:,(\d{3}))? \w+ +(?:semantic_ids[\w.]*: )?(.*)")
"""Time and message of a line, on the terminal and in the log file."""
NONE = "–"


def measured(log: str) -> dict[str, float]:
    """Return the seconds of each stage of the last run in a log, and the peak of its memory in
    bytes, as far as it has them.

    The stage `train` counts from the line of the estimate on: what came before was over when it was
    told.
    """
    found, told = {}, 0.0
    for line in log.splitlines():
        if peak := re.search(r"Maximum resident set size \(kbytes\): (\d+)", line):
            found["peak"] = float(peak[1]) * 1024
        if not (parts := LINE.match(re.sub(r"^\d{4}-\d\d-\d\d ", "", line.strip()))):
            continue
        at = int(parts[1]) * 3600 + int(parts[2]) * 60 + int(parts[3]) + int(parts[4] or 0) / 1000
        if parts[5].startswith("estimate: "):
            told = at
        if (stage := re.fullmatch(r"(\w+): ([\d.]+) s", parts[5])) and stage[1] in STAGES:
            found[stage[1]] = (at - told) % 86400 if stage[1] == "train" else float(stage[2])
    return found


def row(name: str, results: dict[str, Any], found: dict[str, float]) -> str:
    """Return a row of the table: estimated / measured."""
    told, known = results["estimate"], [stage for stage in STAGES if stage in found]
    cells = [f"{name}, {results['items']:,} × {results['dimensions']}"]
    cells += [_pair(told["seconds"][stage], found.get(stage)) for stage in STAGES]
    cells.append(
        _pair(
            told["total_seconds"],
            sum(found[stage] for stage in known) if len(known) == len(STAGES) else None,
        )
    )
    cells.append(_pair(told["peak_bytes"] / 1e9, found["peak"] / 1e9 if "peak" in found else None))
    return f"| {' | '.join(cells)} |"


def _pair(told: float, found: float | None) -> str:
    return f"{_number(told)} / {NONE if found is None else _number(found)}"


def _number(value: float) -> str:
    return f"{value:.{0 if value >= 9.95 else 1}f}"


def main(words: Sequence[str]) -> None:
    """Print the table."""
    if not words or len(words) % 2:
        sys.exit(__doc__)
    print(
        "| estimated / measured | train, s | encode, s | de-duplicate, s | evaluate, s | together,"
        " s | memory, GB |"
    )
    print("|---|---|---|---|---|---|---|")
    for root, log in zip(words[::2], words[1::2], strict=True):
        results = json.loads(
            (Path(root) / "08_reporting/training_results.json").read_text(encoding="utf-8")
        )
        print(row(Path(root).name, results, measured(Path(log).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(sys.argv[1:])
