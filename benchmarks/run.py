"""Measure everyone on the same data in one run and write docs/benchmarks.md.

make bench                                             the embedded sample, and what is in
../shared/data
make bench ARGS="--data beauty --systems rq_kmeans faiss_rq_refined"
make bench ARGS="--data million_even million_clustered --time-limit 3600"
make bench ARGS="--quick"                              a trial of a minute; writes
build/benchmarks-quick.md
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.data import DATA_SETS, DEFAULT, prepare  # noqa: E402
from benchmarks.machine import Surroundings  # noqa: E402
from benchmarks.rows import Row, Task, blank  # noqa: E402
from benchmarks.systems import systems  # noqa: E402
from semantic_ids.arrays import usable_cores  # noqa: E402

PAGE, TRIAL_PAGE, BUILD = (
    ROOT / "docs/benchmarks.md",
    ROOT / "build/benchmarks-quick.md",
    ROOT / "build",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SIZES, QUICK_SIZES = (256, 256, 256), (16, 16, 16)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        nargs="+",
        choices=DATA_SETS,
        default=list(DEFAULT),
        help="data sets; those that are not there are left out",
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        choices=systems(),
        default=[n for n, s in systems().items() if not s.step],
        help="who",
    )
    parser.add_argument(
        "--sizes", type=_sizes, help="codebook sizes, such as 256x256x256 (the default)"
    )
    parser.add_argument(
        "--out", type=Path, help=f"the page to write (default: {PAGE.relative_to(ROOT)})"
    )
    parser.add_argument(
        "--held-out",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="fit a second time without a tenth of the items",
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--threads",
        type=int,
        default=usable_cores(),
        help="threads of each process (default: one a core)",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=1800,
        help="seconds for a system on a data set, all measuring included",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few items and rounds, to see that everything runs"
    )
    chosen = parser.parse_args(words)
    chosen.sizes = chosen.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    chosen.out = chosen.out or (TRIAL_PAGE if chosen.quick else PAGE)
    return chosen


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x"))


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the page anew after each row, so that nothing is lost."""
    chosen = arguments(words)
    missing = {name: DATA_SETS[name].missing for name in chosen.data if DATA_SETS[name].missing}
    command = shlex.join(
        ["python", "benchmarks/run.py", *(sys.argv[1:] if words is None else words)]
    )
    about = Surroundings(
        command,
        chosen.sizes,
        chosen.seed,
        chosen.threads,
        chosen.quick,
        chosen.held_out,
        chosen.time_limit,
        missing,
    )
    rows: list[Row] = []
    BUILD.mkdir(exist_ok=True)
    for name in (name for name in chosen.data if name not in missing):
        with tempfile.TemporaryDirectory(dir=BUILD, prefix="benchmarks-") as folder:
            items, dim = prepare(DATA_SETS[name], Path(folder) / "embeddings", quick=chosen.quick)
            print(f"{DATA_SETS[name].title}: {items:,} × {dim}", flush=True)
            for system in chosen.systems:
                task = Task(
                    name,
                    f"{folder}/embeddings",
                    system,
                    chosen.sizes,
                    chosen.seed,
                    chosen.held_out,
                    chosen.quick,
                )
                rows.append(in_its_own_process(task, chosen.threads, chosen.time_limit))
                print(f"  {_line(rows[-1])}", flush=True)
                write(chosen.out, report.render(about, rows))
    for name, reason in missing.items():
        print(f"{DATA_SETS[name].title}: left out: {reason}")
    print(f"Written: {chosen.out}")


def in_its_own_process(task: Task, threads: int, time_limit: float) -> Row:
    """Measure in a fresh process, so that memory and threads are the system's own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "task.json"), Path(folder, "row.json")
        asked.write_text(json.dumps(asdict(task)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.measure", str(asked), str(answer)]
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
        nothing = blank(task, systems()[task.system](quick=task.quick), "failed")
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                timeout=time_limit,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired:
            return replace(nothing, status="stopped", reason=f"not done after {time_limit:,.0f} s")
        row = (
            Row(**json.loads(answer.read_text(encoding="utf-8")))
            if answer.exists()
            else replace(nothing, reason=_death(done.returncode))
        )
        if row.status == "failed":
            print(done.stderr[-4000:], file=sys.stderr)
        return row


def _death(code: int) -> str:
    return (
        f"the process was ended by signal {-code}"
        if code < 0
        else f"the process ended with exit code {code}"
    )


def _line(row: Row) -> str:
    if row.status != "measured":
        return f"{row.system}: {row.status}: {row.reason}"
    return (
        f"{row.system}: relative MSE {row.relative_mse:.4f}, with unique IDs"
        f" {row.relative_mse_unique:.4f}, fit {row.fit_seconds:.2f} s, encode"
        f" {row.encode_seconds:.2f} s"
    )


def write(path: Path, text: str) -> None:
    """Write a page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
