"""`semantic-ids encode` beside FAISS's `sa_encode` with the same codebooks.

    python benchmarks/serving.py --folder /tmp/serving                      # writes the page
    python benchmarks/serving.py --folder /tmp/serving --million items.parquet --rounds 2

Every figure is of a process of its own that reads a file of vectors and writes one of codes, the
start of Python and all imports included. Systems take turns within a round, so that what else the
machine does meets all of them; what counts is CPU time, and ratios within one round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.machine import commit, machine, today  # noqa: E402

SIZES = (256, 256, 256)
FITTED_ROWS = 20_000
ROUNDS = {"anneal_rounds": 4, "refine_rounds": 1, "unique_rounds": 0, "iterations": 2}
"""Rounds of the fit: how good the codebooks are is of no account here."""
BEAMS, THREADS = (1, 5), (1, 2)
SLOW_ROWS, SLOW = 100_000, ("faiss_plain", "faiss_whole")
"""Rows up to which FAISS is measured without look-up tables, which takes many times as long, and in
one call, which takes the memory of all vectors twice; with less than two rounds of the former."""
PAGE = ROOT / "docs" / "benchmarks-serving.md"
TELL = """
import atexit, json, os, sys, time
began, report = time.perf_counter(), sys.argv.pop(1)
def tell():
    used = os.times()
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    with open(report, "w") as file:
        seconds = time.perf_counter() - began
        json.dump({"cpu": used.user + used.system, "wall": seconds, "mb": peak / 1024}, file)
atexit.register(tell)
"""
"""What a child does first: at its end it tells what it took. Its own peak, not that of `wait4`,
which begins with what its parent held."""
OURS = TELL + "from semantic_ids.__main__ import main\nmain(sys.argv[1:])"
THEIRS = TELL + (
    "from benchmarks.faiss_encode import encode\ngiven = json.loads(sys.argv[1])\nencode(**given)"
)


@dataclass(frozen=True)
class Setting:
    """What is measured with: a file of vectors, a width of the beam, a number of threads."""

    data: str
    rows: int
    dim: int
    source: str
    beam: int
    threads: int

    @property
    def form(self) -> str:
        """Form of the file."""
        return Path(self.source).suffix[1:]


@dataclass(frozen=True)
class Figure:
    """What one system took in one round."""

    setting: Setting
    system: str
    cpu: float
    wall: float
    mb: float
    equal: float


SYSTEMS = {
    "onnx": "`semantic-ids encode`",
    "torch": "`semantic-ids encode --backend torch`",
    "faiss_chunks": "FAISS, look-up tables, 16,384 rows at a time",
    "faiss_whole": "FAISS, look-up tables, one call",
    "faiss_plain": "FAISS without look-up tables, one call",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where files are made")
    parser.add_argument("--data", type=Path, help="parquet (ItemID, embedding); default: WordNet")
    parser.add_argument("--million", type=Path, help="a larger one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", nargs="+", default=["npy", "parquet"])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for name, file in (("WordNet nouns", given.data), ("A million, clustered", given.million)):
        if file is not None:
            for setting in settings(given.folder, name, file, given.forms):
                figures += measured(setting, given.folder, given.systems, given.rounds)
                write(given, figures)


def settings(folder: Path, name: str, file: Path, forms: Sequence[str]) -> Iterator[Setting]:
    """Make what is needed of a parquet file: an array, tokenizers, arrays for FAISS."""
    array = folder / f"{file.stem}.npy"
    if not array.exists():
        as_array(file, array)
    x = np.load(array, mmap_mode="r")
    for beam in BEAMS:
        fit(x, folder / f"{file.stem}_beam{beam}", beam)
    sources = {"npy": array, "parquet": file}
    for form in forms:
        for beam in BEAMS:
            for threads in THREADS:
                yield Setting(name, *x.shape, str(sources[form]), beam, threads)


def as_array(file: Path, array: Path) -> None:
    """Write the vectors of a parquet file as float32."""
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    width = table.schema_arrow.field("embedding").type.list_size
    shape = (table.metadata.num_rows, width)
    x = np.lib.format.open_memmap(array, mode="w+", dtype=np.float32, shape=shape)
    done = 0
    for batch in table.iter_batches(8192, columns=["embedding"]):
        rows = batch.column(0).flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        x[done : done + len(rows)] = rows
        done += len(rows)
    x.flush()


def fit(x: np.ndarray, folder: Path, beam: int) -> None:
    """Fit a tokenizer with its graphs, and write what FAISS takes of it."""
    if (folder / "encoder.onnx").exists():
        return
    from semantic_ids import RQKMeans

    options: dict[str, Any] = {**ROUNDS, "beam_size": beam, "device": "cpu"}
    tokenizer = RQKMeans(codebook_sizes=SIZES, **options).fit(np.array(x[:FITTED_ROWS]))
    tokenizer.save(folder, onnx=True)
    decoder = tokenizer.linear_decoder()
    np.savez(folder.with_suffix(".npz"), mean=decoder.mean, codebooks=np.stack(decoder.codebooks))


def measured(setting: Setting, folder: Path, systems: Sequence[str], rounds: int) -> list[Figure]:
    """Let the systems take turns."""
    figures = []
    for number in range(rounds):
        codes: dict[str, np.ndarray] = {}
        for system in systems:
            if (setting.rows > SLOW_ROWS and system in SLOW) or (
                system == "faiss_plain" and number
            ):
                continue
            took, codes[system] = run(setting, folder, system)
            equal = float((codes[system] == next(iter(codes.values()))).all(axis=1).mean())
            figures.append(Figure(setting, system, took["cpu"], took["wall"], took["mb"], equal))
            print(
                number,
                setting.data,
                setting.form,
                setting.beam,
                setting.threads,
                system,
                *(f"{value:.2f}" for value in took.values()),
                f"{equal:.6f}",
                flush=True,
            )
    return figures


def run(setting: Setting, folder: Path, system: str) -> tuple[dict[str, float], np.ndarray]:
    """Let one system encode in a process of its own; return what it took, and its codes."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        ending = "npy" if system.startswith("faiss") else setting.form
        target, report = Path(place) / f"codes.{ending}", Path(place) / "report.json"
        model = folder / f"{Path(setting.source).stem}_beam{setting.beam}"
        if system.startswith("faiss"):
            given = {
                "source": setting.source,
                "model": str(model.with_suffix(".npz")),
                "target": str(target),
                "threads": setting.threads,
                "beam": setting.beam,
                "tables": system != "faiss_plain",
                "whole": system != "faiss_chunks",
            }
            words = [THEIRS, str(report), json.dumps(given)]
        else:
            words = [OURS, str(report), "encode", "-i", setting.source, "-o", str(target)]
            words += ["-c", str(model), "--threads", str(setting.threads), "--backend", system]
        threads = str(setting.threads)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": threads}
        subprocess.run(
            [sys.executable, "-c", *words], check=True, env=env, stderr=subprocess.DEVNULL
        )
        return json.loads(report.read_text(encoding="utf-8")), _codes(target)


def _codes(file: Path) -> np.ndarray:
    if file.suffix == ".npy":
        return np.load(file)
    import pyarrow.parquet as pq

    codes = pq.read_table(file, columns=["codes"])["codes"].combine_chunks()
    return codes.flatten().to_numpy().reshape(len(codes), -1)


def write(given: argparse.Namespace, figures: Sequence[Figure]) -> None:
    """Write the page, and the figures beside the files that were made."""
    (given.folder / "figures.json").write_text(
        json.dumps([asdict(figure) for figure in figures], indent=1), encoding="utf-8"
    )
    given.out.write_text(page(figures), encoding="utf-8")


def page(figures: Sequence[Figure]) -> str:
    """Return the page as Markdown."""
    lines = [
        "# Encoding, beside FAISS",
        "",
        "<!-- Generated by benchmarks/serving.py; changes by hand are lost. -->",
        "",
        "`semantic-ids encode` and FAISS's `sa_encode`, with the same codebooks and the same beam,"
        " from a file of vectors to a file of codes.",
        "",
        "| | |",
        "|---|---|",
        f"| Date | {today()} |",
        f"| Commit | {commit()} |",
        f"| Machine | {machine()} |",
        f"| Load at the end | {os.getloadavg()[0]:.1f} |",
        f"| Codebooks | {'×'.join(map(str, SIZES))} |",
        "| Command | `python benchmarks/serving.py --folder DIR --data WORDNET.parquet"
        " --million CLUSTERED.parquet` |",
        "",
        "- Each figure is of a process of its own, the start of Python and all imports included;"
        " systems take turns, and each figure is the median of its rounds.",
        "- **Items/CPU s** is items by seconds of processor time, of all threads together: what"
        " others do on the machine counts least there. **Ratio** is CPU time by that of"
        " `semantic-ids encode`, the median of the ratios within each round: above 1, ours took"
        " less.",
        "- FAISS in one call, as it is mostly called, and without look-up tables is measured up to"
        f" {SLOW_ROWS:,} items: it holds all vectors, mostly twice, and takes up to four times as"
        " long.",
        "- **Peak** is the most memory that the process held, libraries included.",
        "- **Equal** is the share of rows with the codes of `semantic-ids encode`: where two codes"
        " are as good, rounding decides.",
        "",
    ]
    for setting in dict.fromkeys(figure.setting for figure in figures):
        lines += _table(setting, [figure for figure in figures if figure.setting == setting])
    return "\n".join(lines)


def _table(setting: Setting, figures: Sequence[Figure]) -> list[str]:
    threads = f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
    lines = [
        f"## {setting.data}, {setting.form}, beam {setting.beam}, {threads}",
        "",
        f"{setting.rows:,} items × {setting.dim} dimensions.",
        "",
        "| System | CPU s | Items/CPU s | Ratio | Seconds | Peak, MB | Equal |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours = [figure.cpu for figure in figures if figure.system == "onnx"]
    for system, title in SYSTEMS.items():
        found = [figure for figure in figures if figure.system == system]
        if not found:
            continue
        cpu = statistics.median(figure.cpu for figure in found)
        pairs = zip(found, ours, strict=False)
        ratio = statistics.median(figure.cpu / own for figure, own in pairs) if ours else 0.0
        wall = statistics.median(figure.wall for figure in found)
        peak = statistics.median(figure.mb for figure in found)
        lines.append(
            f"| {title} | {cpu:.2f} | {setting.rows / cpu:,.0f} | {ratio:.2f} | {wall:.1f} |"
            f" {peak:,.0f} | {found[0].equal:.5f} |"
        )
    return [*lines, ""]


if __name__ == "__main__":
    main()
