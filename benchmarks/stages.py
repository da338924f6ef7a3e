"""CPU seconds, wall seconds and peak memory of every stage of a run, each in a process of its own.

    python benchmarks/stages.py EMBEDDINGS.parquet [--out FOLDER] [--params KEY=VALUE,…]
                                [--against CHECKOUT] [--rounds 2]

Prints a table for docs/measurements.md. CPU seconds (user + system) hardly depend on what else the
machine does, so they are what two versions are compared by: `--against` runs the stages of another
checkout too, each stage in turn, so that both meet the same other work, and the ratio is of the
least of each. The seconds of a process that does nothing but start are taken off; the peak is that
of the whole process. What a stage used is printed when it ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine  # noqa: E402

STAGES = {
    "check": "check",
    "ingest": "ingest",
    "sample": "split",
    "train": "train",
    "encode": "encode",
    "deduplicate": "deduplicate",
    "export": "export",
    "evaluate": "evaluate",
    "faiss": "export_faiss",
    "onnx": "export_onnx",
    "language": "export_language",
    "figures": "draw",
}
"""Name in the table → node of the pipeline `tokenize`."""
QUIET = "tracking.enabled=false"


@dataclass(frozen=True)
class Used:
    """What a process used: seconds of all its threads, seconds that passed, bytes at its peak."""

    cpu: float
    wall: float
    peak: int

    def less(self, start: Used) -> Used:
        """Take off what it took to start; the peak stays that of the whole process."""
        return Used(max(0.0, self.cpu - start.cpu), max(0.0, self.wall - start.wall), self.peak)


def measure(command: Sequence[str], checkout: Path) -> Used:
    """Run a command in a checkout and return what it used.

    Raises:
        SystemExit: It failed.
    """
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    wall = time.perf_counter() - begun
    unit = 1 if sys.platform == "darwin" else 1024
    return Used(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * unit)


@cache
def nodes_of(checkout: Path) -> set[str]:
    """Return the nodes of the pipeline `tokenize` of a checkout: another may have fewer of them."""
    script = (
        "from semantic_ids.pipeline_registry import register_pipelines as all\n"
        "print(*(node.name for node in all()['tokenize'].nodes))"
    )
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src")}
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def run_stages(
    checkouts: Sequence[Path], embeddings: Path, out: Path, params: str, stages: Sequence[str]
) -> list[dict[str, Used]]:
    """Run the stages one after the other, each in all checkouts by turns.

    What a stage used is printed as soon as it is known.

    Returns:
        For each checkout, name → what it used, the start taken off.
    """
    kedro = [sys.executable, "-m", "kedro"]
    starts = [measure([*kedro, "registry", "list"], checkout) for checkout in checkouts]
    found: list[dict[str, Used]] = [{} for _ in checkouts]
    for stage in stages:
        for number, checkout in enumerate(checkouts):
            if STAGES[stage] not in nodes_of(checkout):
                continue
            place = [f"embeddings={embeddings}", f"data_root={out / f'run_{number}'}"]
            given = ",".join(filter(None, [*place, QUIET, params]))
            words = ["run", "--pipelines=tokenize", f"--nodes={STAGES[stage]}", f"--params={given}"]
            used = measure([*kedro, *words], checkout).less(starts[number])
            found[number][stage] = used
            print(f"{checkout.name}: {stage}, {used.cpu:.1f} CPU seconds", file=sys.stderr)
    return found


def least(rounds: Sequence[dict[str, Used]]) -> dict[str, Used]:
    """Return the least CPU and wall seconds and the largest peak of each stage over all rounds."""
    return {
        stage: Used(
            min(found[stage].cpu for found in rounds),
            min(found[stage].wall for found in rounds),
            max(found[stage].peak for found in rounds),
        )
        for stage in rounds[0]
    }


def table(now: dict[str, Used], before: dict[str, Used] | None = None) -> str:
    """Write the stages as a table in Markdown, with a row of the sums and the largest peak."""
    compared = ["before", "ratio", "peak before, GB"] if before else []
    lines = [["stage", "CPU seconds", "seconds", "peak, GB", *compared]]
    lines.append(["---"] * len(lines[0]))
    for stage, used in {**now, "all": _sum(now)}.items():
        line = [stage, f"{used.cpu:.1f}", f"{used.wall:.1f}", f"{used.peak / 1e9:.2f}"]
        if before:
            was = _sum(before) if stage == "all" else before.get(stage, Used(0, 0, 0))
            ratio = f"{used.cpu / was.cpu:.2f}" if was.cpu else ""
            line += [f"{was.cpu:.1f}", ratio, f"{was.peak / 1e9:.2f}"]
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _sum(stages: dict[str, Used]) -> Used:
    found = stages.values()
    return Used(
        sum(used.cpu for used in found),
        sum(used.wall for used in found),
        max(used.peak for used in found),
    )


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--out", type=Path, help="where the runs write; a temporary folder if not")
    parser.add_argument("--params", default="", help="more of --params for every run")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--against", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args(words)
    checkouts = [ROOT, *([given.against.resolve()] if given.against else [])]
    with tempfile.TemporaryDirectory() as temporary:
        out = (given.out or Path(temporary)).resolve()
        source = given.embeddings.resolve()
        rounds = [
            run_stages(checkouts, source, out, given.params, given.stages)
            for _ in range(given.rounds)
        ]
    found = zip(*rounds, strict=True)
    print(f"{machine()}\n\n{table(*map(least, found))}")


if __name__ == "__main__":
    main()
