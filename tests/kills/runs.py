"""Kill a run over an older generation of artifacts, look at what is there, and run again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.forks import fork, import_program, in_a_fork, program

TIMES = {
    "08_reporting/training_curves.png",
    "08_reporting/training_history.parquet",
    "08_reporting/training_results.json",
}
"""Written with times in them."""
TOGETHER = ("03_primary/embeddings", "06_models/tokenizer")
"""Folders that are one artifact."""
KINDS = ("rq_kmeans", "rq_vae")

Files = dict[str, str]
"""Path below the data folder → hash of the bytes."""


@dataclass(frozen=True)
class Kill:
    """A kill and what came of it.

    Attributes:
        kind: Of the tokenizer.
        after: Seconds from its start at which the run was killed.
        stage: The last one that the run had begun.
        wrong: What is wrong afterwards, in words; empty where all is well.
    """

    kind: str
    after: float
    stage: str
    wrong: list[str]


def files(data: Path) -> Files:
    """Hash everything that a run wrote and that bears no time."""
    found = {}
    for file in sorted(path for path in data.rglob("*") if path.is_file()):
        name = str(file.relative_to(data))
        if name not in TIMES and "checkpoints" not in name:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def mixed(left: Files, old: Files, new: Files) -> list[str]:
    """Say which artifacts are neither of the older run nor of the newer one."""
    wrong = [
        f"{name} is of neither run"
        for name, content in left.items()
        if not _is_temporary(name) and content not in {old.get(name), new.get(name)}
    ]
    for folder in TOGETHER:
        there = {name: left[name] for name in left if name.startswith(f"{folder}/")}
        whole = [
            {name: run[name] for name in run if name.startswith(f"{folder}/")} for run in (old, new)
        ]
        if there and there not in whole:
            wrong.append(f"{folder} is a mixture")
    return wrong


def _is_temporary(name: str) -> bool:
    """Whether a name is one that nobody reads: see `semantic_ids.atomic`."""
    return any(part.startswith(".") for part in Path(name).parts)


def _words(folder: Path, kind: str, seed: int) -> list[str]:
    given = {
        "data_root": folder / "data",
        "logs.folder": folder / "logs",
        "tokenizer.kind": kind,
        "tokenizer.seed": seed,
        "tokenizer.codebook_sizes": "8x8x8",
        "ingest.max_items": 400,
    }
    named = ",".join(f"{name}={value}" for name, value in given.items())
    return ["--env=test", "--pipelines=tokenize", f"--params={named}"]


def _whole(folder: Path, kind: str, seed: int) -> float:
    """Run to the end; return the seconds it took."""
    begun = time.monotonic()
    words = _words(folder, kind, seed)
    if status := in_a_fork(lambda: program(words), folder / "terminal.txt"):
        text = (folder / "terminal.txt").read_text()
        raise RuntimeError(f"exit code {status}: {text[-2000:]}")
    return time.monotonic() - begun


def _kill(folder: Path, kind: str, after: float) -> str:
    """Run, kill after so many seconds; return the last stage that had begun."""
    output, words = folder / "killed.txt", _words(folder, kind, seed=42)
    child = fork(lambda: program(words), output)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    text = output.read_text() if output.is_file() else ""
    stages = [line.split()[2] for line in text.splitlines() if line.endswith(" …")]
    return stages[-1] if stages else "start"


def kills(count: int, seed: int) -> Iterator[Kill]:
    """Kill so many runs, each over artifacts of another seed, and run again.

    Yields:
        Kills, whose `wrong` is empty where every artifact was whole and of one of the two runs, and
        the run after gave the bytes of one that was never killed.
    """
    import_program()
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="kills_") as temporary:
        place = Path(temporary)
        made: dict[str, tuple[Path, Files, Files, float]] = {}
        for kind in KINDS:
            old, new = place / f"{kind}_old", place / f"{kind}_new"
            for folder, number in ((old, 1), (new, 42)):
                folder.mkdir()
                seconds = _whole(folder, kind, number)
            made[kind] = old, files(old / "data"), files(new / "data"), seconds
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            old, before, after, seconds = made[kind]
            folder = place / str(number)
            shutil.copytree(old, folder)
            moment = rng.uniform(0, seconds)
            stage = _kill(folder, kind, moment)
            wrong = mixed(files(folder / "data"), before, after)
            _whole(folder, kind, 42)
            again = files(folder / "data")
            wrong += [
                f"{name} is not what a run that was never killed writes"
                for name in sorted(again.keys() | after.keys())
                if again.get(name) != after.get(name)
            ]
            shutil.rmtree(folder)
            yield Kill(kind, moment, stage, wrong)
