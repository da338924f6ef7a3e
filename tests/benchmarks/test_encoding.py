"""The benchmark of fit and encoding on one device, run on the CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import torch
from benchmarks.encoding import arguments, make_vectors, measure, plain_codes, table

from semantic_ids.tokenizers import fit_tokenizer
from tests.tokenizers.pretend import GPU, pretend_gpu
from tests.tokenizers.test_bare_machine import WITHOUT_THE_REST

RUN = (
    WITHOUT_THE_REST
    + "import runpy\nsys.argv.pop(0)\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
)


def ran_bare(script, words, root, folder):
    """Run a benchmark where nothing is installed but numpy, torch and safetensors.

    Return its run and what it wrote.
    """
    out = folder / "made" / "figures.json"
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            RUN,
            str(root / "benchmarks" / script),
            *words,
            f"--folder={folder}",
            f"--out={out}",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        cwd=folder,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran, json.loads(out.read_text())


def test_it_measures_and_writes_with_numpy_torch_and_safetensors_alone(tmp_path, root):
    words = [
        "--items=900",
        "--dim=12",
        "--sizes=6x4x5",
        "--beams",
        "1",
        "3",
        "--device=cpu",
        "--repeats=3",
    ]
    ran, found = ran_bare("encoding.py", words, root, tmp_path)
    rows = {row["what"]: row for row in found["rows"]}
    kinds = ("float32", "float16")
    encoded = [f"encode {kind}, beam {beam}" for kind in kinds for beam in (1, 3)]
    plain = ["plain loop, vectors on the device", "plain loop, vectors loaded first"]
    assert list(rows) == [
        "fit",
        *(f"stream {kind}, nothing computed" for kind in kinds),
        *encoded,
        *plain,
    ]
    assert all(name in ran.stdout for name in rows) and found["about"]["repeats"] == 3
    for row in rows.values():
        assert (
            len(row["all_seconds"]) == 3
            and row["seconds"] == sorted(row["all_seconds"])[1] > 0
            and row["peak_bytes"] is None
        )
    assert rows[encoded[0]]["bytes_read"] == 2 * rows[encoded[2]]["bytes_read"] == 900 * 12 * 4
    assert rows[encoded[0]]["same_codes"] > 0.99
    assert rows[encoded[1]]["error"] < rows[encoded[0]]["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]  # the vectors are gone


def test_it_measures_the_way_over_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr("semantic_ids.compute.threads.GPU_ROWS", 200)
    asked = arguments(["--items=500", "--dim=6", "--sizes=4x4", "--repeats=1", "--beams=1"])
    with pretend_gpu(monkeypatch):
        rows = list(measure(asked, make_vectors(tmp_path, 500, 6, seed=3), GPU, anneal_rounds=1))
    assert [row.same_codes for row in rows if row.same_codes] == [1.0]
    assert len(table(rows).splitlines()) == 1 + len(rows)


def test_vectors_are_clustered_and_the_same_twice_over(tmp_path):
    arrays = {kind: np.load(path) for kind, path in make_vectors(tmp_path, 3000, 8, seed=1).items()}
    assert arrays["float32"].shape == (3000, 8) and arrays["float32"].dtype == np.float32
    np.testing.assert_array_equal(arrays["float16"], arrays["float32"].astype(np.float16))
    assert len(np.unique(arrays["float32"], axis=0)) == 3000
    assert arrays["float32"].std(0).min() > 1  # the centres' own spread and the noise


def test_the_plain_loop_takes_the_nearest_code_level_by_level(tmp_path):
    x = np.load(make_vectors(tmp_path, 500, 6, seed=2)["float32"])
    tokenizer = fit_tokenizer(
        x, codebook_sizes=(5, 4), device="cpu", options={"anneal_rounds": 2, "beam_size": 1}
    )
    rest = tokenizer.preprocessing.apply(torch.from_numpy(x)).double().numpy()
    found = plain_codes(torch.from_numpy(x), tokenizer).numpy()
    for level, codebook in enumerate(tokenizer.quantizer.codebooks):
        book = codebook.double().numpy()
        distances = ((rest[:, None] - book) ** 2).sum(-1)
        np.testing.assert_allclose(
            distances[np.arange(500), found[:, level]], distances.min(1), rtol=1e-4, atol=1e-5
        )
        rest = rest - book[found[:, level]]
