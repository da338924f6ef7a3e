"""One of several processes that train together, started by `gpu.py` through torchrun.

python -m torch.distributed.run --nproc-per-node=2 training_together.py VECTORS FOLDER [options]

Each process writes what it came to into the folder.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import training  # noqa: E402
from semantic_ids.arrays import map_rows  # noqa: E402
from semantic_ids.compute.devices import resolve  # noqa: E402
from semantic_ids.tokenizers import fit_tokenizer  # noqa: E402


def main() -> None:
    """Train with the others, and write items a second and a hash of all that was learned."""
    vectors, folder = map_rows(sys.argv[1]), Path(sys.argv[2])
    asked = training.arguments(sys.argv[3:])
    device = resolve(asked.device)
    tokenizer = fit_tokenizer(
        vectors,
        kind="rq_vae",
        codebook_sizes=[int(size) for size in asked.sizes.split("x")],
        seed=asked.seed,
        device=device.type,
        options=training.options(asked),
        monitor_rows=np.arange(min(len(vectors), asked.batch)),
    )
    speeds = [row["items_per_second"] for row in tokenizer.history if "items_per_second" in row]
    told = {
        "items_per_second": statistics.median(speeds[1:] or speeds),
        "all_items_per_second": speeds,
        "peak_bytes": training.peak(device),
        "content": tokenizer.content,
    }
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
