"""The same bytes with one thread and with two: the suite itself runs on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.test_tokenize import TIMES, WRITTEN

KINDS = ("rq_kmeans", "residual", "mlp", "large", "gumbel")
FIT = """
import hashlib, json, sys
import torch
from semantic_ids.workflows.fitting import FitOptions
from tests.conftest import clustered
from tests.tokenizers.conftest import RESIDUAL, fitted

torch.set_num_threads(int(sys.argv[1]))  # PyTorch itself takes no more than there are cores
x, found = clustered(1500, 48, seed=1), {"threads": torch.get_num_threads()}
large = {"hidden": [100, 24], "batch_rows": 500, "epochs": 4, "warmup_epochs": 1, "plain_epochs": 0}
large |= {"layer_norm": True, "dropout": 0.1, "clip": 1.0}
kinds = {
    "rq_kmeans": ("rq_kmeans", {}),
    "residual": ("rq_vae", RESIDUAL),
    "mlp": ("rq_vae", {}),
    "large": ("rq_vae", large),
    "gumbel": ("rq_vae", large | {"gradient": "gumbel", "quantizer": "gradient"}),
}
times = ("seconds", "items_per_second")
for name in sys.argv[2:]:
    kind, options = kinds[name]
    made = fitted(kind, x, sizes=(16, 16, 32), options=options, assign=FitOptions().assign)
    codes = made.encode(x)
    curves = [{k: v for k, v in row.items() if k not in times} for row in made.history.rows()]
    found[name] = [
        made.content,
        curves,
        *(hashlib.sha256(a.tobytes()).hexdigest() for a in (codes, made.decode(codes))),
    ]
print(json.dumps(found))
"""


def run(threads: int, *command: str, **variables: str) -> str:
    """Run a command of Python in a process of so many threads; return what it prints."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout.decode()


def learned(threads: int, *kinds: str) -> dict[str, Any]:
    return json.loads(run(threads, "-c", FIT, str(threads), *kinds).splitlines()[-1])


def test_weights_codes_vectors_and_curves_are_the_same_with_one_thread_and_two():
    one, two = (learned(threads, *KINDS) for threads in (1, 2))
    assert (one.pop("threads"), two.pop("threads")) == (1, 2)
    assert set(one) == set(KINDS) and one == two
    four = learned(4, "large")  # widths that a BLAS, left alone, rounds differently with four
    assert (four.pop("threads"), four["large"]) == (4, one["large"])


@pytest.mark.slow
def test_a_pipeline_writes_the_same_with_one_thread_and_two(tmp_path: Path):
    hashes = []
    for threads in (1, 2):
        data = tmp_path / str(threads)
        params = f"--params=data_root={data},tracking.enabled=false"
        run(threads, "-m", "kedro", "run", "--pipeline=tokenize", "--env=test", params)
        hashes.append(
            {
                name: sha256((data / name).read_bytes()).hexdigest()
                for name in sorted(WRITTEN - TIMES)
            }
        )
    assert hashes[0] == hashes[1]
