"""`tokenizers` runs where nothing is installed but numpy, PyTorch and safetensors.

On a bare GPU machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WITHOUT_THE_REST = """
import sys

MISSING = "pyarrow pandas scipy sklearn faiss kedro mlflow pydantic omegaconf".split()
MISSING += "matplotlib tqdm yaml".split()

sys.modules.update(dict.fromkeys(MISSING))  # an import of these fails as if they were not installed
"""
SCRIPT = """
import numpy as np
from semantic_ids import RQKMeans, load_tokenizer
from semantic_ids.tokenizers import fit_tokenizer

x = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
network = {"network": {"hidden": [8], "latent": 4}, "schedule": {"epochs": 2}}
for kind, options in (("rq_kmeans", {"anneal_rounds": 2}), ("rq_vae", network)):
    t = fit_tokenizer(x, kind=kind, codebook_sizes=(6, 6), device="cpu", options=options)
    codes = t.encode(x)
    t.candidates(x, 3), t.level_costs(x, codes[:, :1]), t.distortion(x, codes)
    t.save(sys.argv[1])
    assert (load_tokenizer(sys.argv[1], device="cpu").encode(x) == codes).all()
t = RQKMeans((6, 6), device="cpu", strategy="none", anneal_rounds=2).fit(x)
t.save(sys.argv[1])
assert (load_tokenizer(sys.argv[1]).encode(x[0]) == t.encode(x)[0]).all()
print("done")
"""


def test_it_runs_with_numpy_torch_and_safetensors_alone(tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_REST + SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert ran.stdout.strip().endswith("done"), ran.stderr
