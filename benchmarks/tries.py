"""The trie of many IDs: how long it takes to build, how large it is, how fast it answers.

    python benchmarks/tries.py --items 1000000 10000000 --dict 1000000

IDs are drawn without repetition, so that prefixes are as many as they can be. Each number of items
has a process of its own, whose memory is counted from when the IDs are there. Look-ups are those of
prefixes of items, over a trie that was loaded from disk and touched before. With `--dict` nested
dicts, as most recommenders have them, are made of the same IDs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.machine import commit, machine, peak_bytes, today  # noqa: E402
from semantic_ids.codes import unpack  # noqa: E402
from semantic_ids.publishing.constrained_decoding import (  # noqa: E402
    IdConstraint,
    TrieLogitsProcessor,
)
from semantic_ids.publishing.trie import Trie  # noqa: E402
from semantic_ids.publishing.vocabulary import Vocabulary  # noqa: E402

BEAMS = 160
"""8 sequences with 20 beams each."""
LOOKUPS = 2000


def drawn(items: int, sizes: Sequence[int], seed: int = 0) -> np.ndarray:
    """Draw distinct IDs: (items, L) int32, in random order."""
    rng, room = np.random.default_rng(seed), int(np.prod(sizes, dtype=np.int64))
    keys = np.unique(rng.integers(0, room, items + items // 50 + 100))
    return unpack(rng.permutation(keys)[:items], sizes)


def seconds(work: Callable[[], Any], times: int = 1) -> tuple[float, float]:
    """Return wall and CPU seconds of a call, the mean of several."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return (time.perf_counter() - wall) / times, (time.process_time() - cpu) / times


def measure(codes: np.ndarray, sizes: tuple[int, ...]) -> dict[str, float]:
    """Measure one trie: what is in the table, by name."""
    before, found = peak_bytes(), dict[str, float]()
    with tempfile.TemporaryDirectory() as name:
        folder, made = Path(name) / "trie", []
        found["build, s"], found["build, CPU s"] = seconds(
            lambda: made.append(Trie.build(codes, sizes))
        )
        found["memory while building, MB"] = (peak_bytes() - before) / 1e6
        found["save, s"], _ = seconds(lambda: made[0].save(folder))
        found["on disk, MB"] = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        found["load, ms"] = 1e3 * seconds(lambda: Trie.load(folder), 20)[0]
        trie = Trie.load(folder)
        found |= lookups(trie, codes[: 10 * LOOKUPS])
    return found


def lookups(trie: Trie, codes: np.ndarray) -> dict[str, float]:
    """Measure look-ups of a trie that is mapped; CPU time, as the machine may be shared."""
    vocabulary, last = Vocabulary.of(trie.sizes, trie.levels), trie.levels - 1
    rows = codes[:LOOKUPS, :last].tolist()
    for row in rows:
        trie.children(row)
    found = {
        f"children of a prefix of {last}, µs": 1e6
        * seconds(lambda: [trie.children(row) for row in rows])[1]
        / len(rows),
        "membership of an ID, many at once, µs": 1e6
        * seconds(lambda: trie.contains(codes), 5)[1]
        / len(codes),
    }
    beams = vocabulary.ids_of(codes[:BEAMS, :last])
    constraint = IdConstraint(trie, vocabulary, 0)
    found[f"what may follow {BEAMS} beams, one by one, ms"] = (
        1e3 * seconds(lambda: [constraint.after(row) for row in beams.tolist()], 20)[1]
    )
    found[f"what may follow {BEAMS} beams, at once, ms"] = (
        1e3 * seconds(lambda: constraint.after_all(beams), 20)[1]
    )
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    ids, scores = torch.from_numpy(beams), torch.zeros((BEAMS, vocabulary.ids[-1] + 1))
    processor = TrieLogitsProcessor(trie, vocabulary, 0)
    found[f"a step of the logits processor, {BEAMS} beams, ms"] = (
        1e3 * seconds(lambda: processor(ids, scores), 20)[1]
    )
    return found


def measure_dict(codes: np.ndarray, sizes: tuple[int, ...]) -> dict[str, float]:
    """Measure nested dicts of the same IDs."""
    before, root = peak_bytes(), dict[int, Any]()

    def build() -> None:
        for part in np.array_split(codes, max(1, len(codes) // 10_000)):
            for row in part.tolist():
                node = root
                for code in row:
                    node = node.setdefault(code, {})

    wall, cpu = seconds(build)
    return {
        "build, s": wall,
        "build, CPU s": cpu,
        "memory while building, MB": (peak_bytes() - before) / 1e6,
    }


def table(columns: dict[str, dict[str, float]]) -> str:
    """Return the results as Markdown: a row a measure, a column a trie."""
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in names:
        cells = [f"{column[name]:.3g}" if name in column else "" for column in columns.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--dict", type=int, nargs="*", default=[])
    parser.add_argument("--sizes", default="256x256x256x256")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Measure each in a process of its own, and print the table."""
    given = arguments(words)
    sizes = tuple(int(size) for size in given.sizes.split("x"))
    if given.one:
        kind, file = given.one
        work = measure if kind == "trie" else measure_dict
        print(json.dumps(work(np.load(file), sizes)))
        return
    columns = {}
    for kind, numbers in (("trie", given.items), ("dict", given.dict)):
        for items in numbers:
            columns[f"{kind}, {items:,}"] = alone(kind, items, sizes)
    print(f"{given.sizes}, commit {commit()}, {today()}, {machine()}\n\n{table(columns)}")


def alone(kind: str, items: int, sizes: tuple[int, ...]) -> dict[str, float]:
    """Measure in a process of its own, which has not drawn the IDs."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "codes.npy"
        np.save(file, drawn(items, sizes))
        command = [sys.executable, __file__, "--one", kind, str(file)]
        written = "x".join(map(str, sizes))
        ran = subprocess.run(
            [*command, "--sizes", written], check=True, stdout=subprocess.PIPE, text=True
        )
    return json.loads(ran.stdout)


if __name__ == "__main__":
    main()
