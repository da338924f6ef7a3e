"""Everything that only a GPU can tell, in one command and one table.

    PYTHONPATH=src python benchmarks/gpu.py                            1,000,000 x 768, on a GPU
    PYTHONPATH=src python benchmarks/gpu.py --items 5000 --dim 32 --device cpu         a trial

It checks the device against the CPU (`gpu_checks.py`), measures fit, streaming and encoding
(`encoding.py`) and training (`training.py`), and trains in two processes where there are two
devices. Needs torch, numpy and safetensors alone, so it runs on a bare GPU machine; with pytest it
runs the tests marked `gpu` too. The exit code is 1 where a check has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import encoding, training  # noqa: E402
from benchmarks.gpu_checks import Checked, checks  # noqa: E402
from semantic_ids.arrays import map_rows, read_rows  # noqa: E402

CHECKED_ROWS = 20_000
"""Rows that the checks are run on, at most."""
CHECKED_WIDTH = 32


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--sizes", default="256x256x256", help="codebook sizes")
    parser.add_argument("--hidden", type=int, default=1024, help="width of the hidden layer")
    parser.add_argument("--latent", type=int, default=128, help="width of the latent space")
    parser.add_argument("--batch", type=int, default=8192, help="items a step")
    parser.add_argument("--epochs", type=int, default=4, help="epochs of each training")
    parser.add_argument("--repeats", type=int, default=3, help="a figure is the median of so many")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--processes", type=int, help="processes that train together (default: the cards, up to 2)"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--folder", type=Path, help="where the vectors lie meanwhile")
    parser.add_argument("--out", type=Path, default=ROOT / "build/benchmark-gpu.json")
    return parser.parse_args(words)


def everything(
    asked: argparse.Namespace, paths: dict[str, Path], device: torch.device
) -> Iterator[Any]:
    """Check first, then measure, one after the other."""
    x = read_rows(map_rows(paths["float32"]), slice(0, CHECKED_ROWS))
    yield from checks(np.ascontiguousarray(x[:, :CHECKED_WIDTH]), device.type)
    words = [f"--{name}={getattr(asked, name)}" for name in ("items", "dim", "sizes", "seed")]
    words.append(f"--device={device.type}")
    yield from encoding.measure(
        encoding.arguments([*words, f"--repeats={asked.repeats}"]), paths, device
    )
    words += [f"--{name}={getattr(asked, name)}" for name in ("hidden", "latent", "batch")]
    words.append(f"--epochs={asked.epochs}")
    yield from training.measure(training.arguments(words), paths, device)
    count = asked.processes
    if count is None:
        count = min(2, torch.cuda.device_count()) if device.type == "cuda" else 1
    if count > 1:
        yield together(words, paths["float32"], count)


def together(words: Sequence[str], vectors: Path, count: int) -> training.Row:
    """Train in several processes, each on a device of its own."""
    script = Path(__file__).with_name("training_together.py")
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [sys.executable, *command, str(script), str(vectors), folder, *words],
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )
        told = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    if ran.returncode or len(told) != count:
        raise RuntimeError(f"{count} processes did not train: {ran.stderr[-2000:]}")
    if len({found["content"] for found in told}) != 1:
        raise RuntimeError(f"{count} processes ended with different weights")
    return training.Row(
        f"the same network, {count} processes",
        told[0]["items_per_second"],
        told[0]["all_items_per_second"],
        peak_bytes=told[0]["peak_bytes"],
    )


def table(rows: Sequence[Any]) -> str:
    """Write what was checked and measured as one table."""
    parts = [
        "\n".join(
            f"{('FAILED', 'passed')[row.passed]:8}{row.what:36}{row.seconds:>8.1f} s  {row.found}"
            for row in rows
            if isinstance(row, Checked)
        )
    ]
    for kind, write in ((encoding.Row, encoding.table), (training.Row, training.table)):
        parts.append(write([row for row in rows if isinstance(row, kind)]))
    return "\n\n".join(parts)


def main(words: Sequence[str] | None = None) -> int:
    """Check, measure, print, write; return the exit code."""
    rows = encoding.carry_out(arguments(words), everything, table)
    return int(any(isinstance(row, Checked) and not row.passed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
