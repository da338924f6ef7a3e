"""Residual k-means on one device: a part of `gpu.py`, and a command of its own.

How long it takes to fit, and how fast it encodes from a memory map.

    PYTHONPATH=src python benchmarks/encoding.py --items 100000 --dim 128 --device cpu

Needs torch, numpy and safetensors alone, so it runs on a bare GPU machine. The vectors are made
here, clustered and random, and lie in a temporary folder; just written, they are read from the
system's page cache. Every figure is a median, after a pass that is not counted.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import commit, machine, today  # noqa: E402
from semantic_ids.arrays import chunks, map_rows, read_rows  # noqa: E402
from semantic_ids.compute.streaming import streamed  # noqa: E402
from semantic_ids.compute.threads import chunk_rows  # noqa: E402
from semantic_ids.tokenizers import fit_tokenizer  # noqa: E402
from semantic_ids.tokenizers.base import ResidualTokenizer  # noqa: E402

CLUSTERS, NOISE = 2000, 0.7
MADE_ROWS = 1 << 16
"""Rows made at a time."""
PLAIN_ROWS = 1 << 16
"""Rows that the plain loop works on at a time."""
WARM_UP_ROWS = 50_000


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: What was done.
        seconds: Median.
        all_seconds: Of each repetition.
        items: How many items it was done with.
        bytes_read: Of the memory map.
        peak_bytes: Most memory allocated on the GPU, beside what was there before; None on a CPU.
        error: Mean squared error of the codes in the space that is quantised, where there are
            codes.
        same_codes: Share of the items with the codes of the plain loop, where these should be the
            same.
    """

    what: str
    seconds: float
    all_seconds: list[float]
    items: int
    bytes_read: int
    peak_bytes: int | None = None
    error: float | None = None
    same_codes: float | None = None


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--sizes", default="256x256x256", help="codebook sizes")
    parser.add_argument(
        "--beams",
        type=int,
        nargs="+",
        default=[1, 5],
        help="widths of the beam to encode with; fitted with the widest",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--repeats", type=int, default=3, help="a figure is the median of so many")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the vectors lie meanwhile: 6 bytes a number (default: a temporary folder)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build/benchmark-encoding.json")
    return parser.parse_args(words)


def make_vectors(folder: Path, items: int, dim: int, seed: int) -> dict[str, Path]:
    """Write clustered vectors twice, as float32 and as float16: (items, dim) each."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((min(CLUSTERS, items), dim), dtype=np.float32)
    spread = NOISE * np.linspace(1.5, 0.5, dim, dtype=np.float32)
    paths = {kind: folder / f"{kind}.npy" for kind in ("float32", "float16")}
    written = [
        np.lib.format.open_memmap(path, "w+", np.dtype(kind), (items, dim))
        for kind, path in paths.items()
    ]
    for part in chunks(items, MADE_ROWS):
        rows = centres[rng.integers(0, len(centres), part.stop - part.start)]
        rows += spread * rng.standard_normal(rows.shape, dtype=np.float32)
        for array in written:
            array[part] = rows
    return paths


class Clock:
    """Times work on a device, whose queue is empty before and after.

    Args:
        device: Where the work is done.
        repeats: How often it is done, after the first time, which is not counted.
    """

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device, self.repeats = device, repeats

    def row(
        self,
        what: str,
        work: Callable[[], Any],
        *,
        items: int,
        bytes_read: int,
        warm_up: Callable[[], Any] | None = None,
    ) -> Row:
        """Measure some work."""
        (warm_up or work)()
        before = self._start_counting()
        seconds = [self._once(work) for _ in range(self.repeats)]
        peak = torch.cuda.max_memory_allocated() - before if self.device.type == "cuda" else None
        return Row(what, statistics.median(seconds), seconds, items, bytes_read, peak)

    def _once(self, work: Callable[[], Any]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _start_counting(self) -> int:
        if self.device.type != "cuda":
            return 0
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def plain_codes(x: Tensor, tokenizer: ResidualTokenizer) -> Tensor:
    """Take the nearest code level by level, as one writes it down at first.

    (n, D) on the device → (n, L).
    """
    found = []
    for part in chunks(len(x), PLAIN_ROWS):
        rest = tokenizer.preprocessing.apply(x[part].float())
        codes = []
        for codebook in tokenizer.quantizer.codebooks:
            codes.append(torch.cdist(rest, codebook).argmin(1))
            rest = rest - codebook[codes[-1]]
        found.append(torch.stack(codes, 1))
    return torch.cat(found)


def measure(
    asked: argparse.Namespace, paths: dict[str, Path], device: torch.device, **options: Any
) -> Iterator[Row]:
    """Fit, stream and encode; then the plain loop. The options are those of the fit."""
    clock, sizes = Clock(device, asked.repeats), tuple(int(size) for size in asked.sizes.split("x"))
    maps = {kind: map_rows(path) for kind, path in paths.items()}
    fitted: list[ResidualTokenizer] = []

    def fit(count: int) -> None:
        found = fit_tokenizer(
            maps["float32"][:count],
            codebook_sizes=sizes,
            seed=asked.seed,
            device=str(device),
            options={"beam_size": max(asked.beams), **options},
        )
        fitted.append(found)

    few = min(asked.items, max(WARM_UP_ROWS, *sizes))
    row = clock.row(
        "fit", lambda: fit(asked.items), items=asked.items, bytes_read=0, warm_up=lambda: fit(few)
    )
    tokenizer = fitted[-1]
    yield replace(row, items=tokenizer.report["rows"])
    width = max(asked.dim, sum(sizes))
    for kind, mapped in maps.items():
        yield clock.row(
            f"stream {kind}, nothing computed",
            lambda m=mapped: stream(m, width, device),
            **extent(mapped),
        )
    yield from encodings(asked, maps, tokenizer, clock)


def extent(mapped: np.ndarray) -> dict[str, int]:
    """Return how much there is to read."""
    return {"items": len(mapped), "bytes_read": mapped.nbytes}


def stream(mapped: np.ndarray, width: int, device: torch.device) -> None:
    """Bring all rows to the device, and do nothing with them."""
    for _ in streamed(mapped, list(chunks(len(mapped), chunk_rows(device, width))), device):
        pass


def encodings(
    asked: argparse.Namespace,
    maps: dict[str, np.ndarray],
    tokenizer: ResidualTokenizer,
    clock: Clock,
) -> Iterator[Row]:
    """Encode from the maps with each beam, and with the plain loop."""
    plain, plain_rows = plain_loop(maps["float32"], tokenizer, clock)
    for kind, mapped in maps.items():
        for beam in asked.beams:
            tokenizer.options = replace(tokenizer.options, beam_size=beam)
            row = clock.row(
                f"encode {kind}, beam {beam}",
                lambda m=mapped: tokenizer.encode(m),
                **extent(mapped),
            )
            codes = tokenizer.encode(mapped)
            same = (
                float((codes == plain).all(axis=1).mean())
                if beam == 1 and kind == "float32"
                else None
            )
            yield replace(row, error=mean_error(mapped, codes, tokenizer), same_codes=same)
    yield from plain_rows


@torch.no_grad()
def plain_loop(
    mapped: np.ndarray, tokenizer: ResidualTokenizer, clock: Clock
) -> tuple[np.ndarray, list[Row]]:
    """Encode with the plain loop, from vectors that are all on the device and from the map.

    Return its codes and the rows.
    """

    def load() -> Tensor:
        return torch.from_numpy(read_rows(mapped, slice(None))).to(clock.device)

    held = load()
    codes = plain_codes(held, tokenizer).cpu().numpy()
    there = clock.row(
        "plain loop, vectors on the device",
        partial(plain_codes, held, tokenizer),
        items=len(held),
        bytes_read=0,
    )
    del held
    loaded = clock.row(
        "plain loop, vectors loaded first",
        lambda: plain_codes(load(), tokenizer).cpu(),
        **extent(mapped),
    )
    error = mean_error(mapped, codes, tokenizer)
    return codes, [replace(row, error=error) for row in (there, loaded)]


def mean_error(mapped: np.ndarray, codes: np.ndarray, tokenizer: ResidualTokenizer) -> float:
    """Return the mean squared error of codes, in the space that is quantised."""
    return float(tokenizer.distortion(mapped, codes).mean(dtype=np.float64))


def table(rows: Sequence[Row]) -> str:
    """Write the rows as a table."""
    lines = [
        f"{'':36}{'seconds':>10}{'items/s':>14}{'GB/s':>8}{'GPU, MB':>9}{'error':>10}{'same':>9}"
    ]
    for row in rows:
        speed = f"{row.bytes_read / row.seconds / 1e9:.2f}" if row.bytes_read else ""
        peak = "" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:,.0f}"
        error = "" if row.error is None else f"{row.error:.5g}"
        same = "" if row.same_codes is None else f"{row.same_codes:.3%}"
        lines.append(
            f"{row.what:36}{row.seconds:>10.4g}{row.items / row.seconds:>14,.0f}"
            f"{speed:>8}{peak:>9}{error:>10}{same:>9}"
        )
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    carry_out(arguments(words), measure, table)


def carry_out(
    asked: argparse.Namespace,
    measure: Callable[..., Iterator[Any]],
    table: Callable[[Sequence[Any]], str],
) -> list[Any]:
    """Say where it is measured, make vectors, measure, print and write; return the rows."""
    device = (
        torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if asked.device == "auto"
        else torch.device(asked.device)
    )
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    about = {key: value for key, value in vars(asked).items() if key not in ("folder", "out")}
    about |= {
        "device": name,
        "machine": machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    about |= {"commit": commit(), "date": today(), "threads": torch.get_num_threads()}
    print("\n".join(f"{key}: {value}" for key, value in about.items()), flush=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        paths = make_vectors(Path(folder), asked.items, asked.dim, asked.seed)
        rows = list(measure(asked, paths, device))
    print(table(rows))
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(
        json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=2) + "\n",
        encoding="utf-8",
    )
    print(f"written to {asked.out}")
    return rows


if __name__ == "__main__":
    main()
