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

FIT = """
import hashlib, json, sys
import torch
from semantic_ids.workflows.fitting import FitOptions
from tests.conftest import clustered
from tests.tokenizers.conftest import RESIDUAL, fitted

x, found = clustered(1500, 48, seed=1), {"threads": torch.get_num_threads()}
kinds = {"rq_kmeans": ("rq_kmeans", {}), "residual": ("rq_vae", RESIDUAL), "mlp": ("rq_vae", {})}
for name in sys.argv[1:]:
    kind, options = kinds[name]
    made = fitted(kind, x, sizes=(16, 16, 32), options=options, assign=FitOptions().assign)
    codes = made.encode(x)
    found[name] = [
        made.content,
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


def learned(threads: int, *kinds: str, **variables: str) -> dict[str, Any]:
    return json.loads(run(threads, "-c", FIT, *kinds, **variables).splitlines()[-1])


def test_weights_codes_and_vectors_are_the_same_with_one_thread_and_two():
    one, two = (learned(threads, "rq_kmeans", "residual") for threads in (1, 2))
    assert (one.pop("threads"), two.pop("threads")) == (1, 2)
    assert one == two and set(one) == {"rq_kmeans", "residual"}


def test_an_mlp_learns_the_same_with_one_thread_and_two_where_mkl_is_told_to():
    """Else its products round differently: see docs/tokenizers.md."""
    one, two = (learned(threads, "mlp", MKL_CBWR="AVX2,STRICT") for threads in (1, 2))
    assert (one.pop("threads"), two.pop("threads")) == (1, 2)
    assert one == two and set(one) == {"mlp"}


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
