"""Two processes that train one recommender make what one makes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.training import train_network, train_sasrec
from tests.learning.test_distributed import free_port
from tests.recommenders.cyclic import cyclic
from tests.recommenders.test_training import CODES, ITEMS, LENGTH, SIZES, options, timeless

SCRIPT = """
import json, os, sys

import numpy as np

root, folder = sys.argv[1:]
sys.path[:0] = [root + "/src", root]
from tests.recommenders.test_processes import TRAININGS, trained_here

for name in (*TRAININGS, "killed"):
    found = trained_here(name, folder)
    arrays = {n: t.numpy() for n, t in found.model.state_dict().items()}
    np.savez(f"{folder}/{name} {os.environ['RANK']}.npz", **arrays)
    with open(f"{folder}/{name} {os.environ['RANK']}.json", "w") as file:
        json.dump([[dict(row) for row in found.history], found.report], file)
"""


def settings(kind: str, dropout: float, batch_windows: int) -> RecommenderOptions:
    told = options(kind if kind != "sasrec" else "item_level", epochs=3).to_dict()
    told["training"] |= {"batch_windows": batch_windows, "evaluate_every": 1}
    told["sasrec"] |= {"dim": 16, "epochs": 3, "learning_rate": 0.01}
    for network in ("item_level", "tiger", "sasrec"):
        told[network] |= {"dropout": dropout}
    told["item_level"] |= {"item_dropout": dropout}
    return RecommenderOptions.of(told)


TRAININGS = {
    "item_level": settings("item_level", 0.0, 65),
    "tiger": settings("tiger", 0.0, 150),
    "sasrec": settings("sasrec", 0.0, 65),
    "drawn": settings("item_level", 0.2, 65),
    "a window each": settings("item_level", 0.0, 2),
}


class Killed(BaseException):
    pass


def trained_here(name: str, folder: str):
    histories = cyclic(ITEMS, 9 if name == "a window each" else 70)
    if name == "sasrec":
        return train_sasrec(histories, ITEMS, TRAININGS[name], LENGTH)
    if name != "killed":
        return train_network(histories, CODES, SIZES, TRAININGS[name], LENGTH)
    told, epoch = TRAININGS["drawn"], Loop._epoch

    def kept():
        return Checkpoints(folder + "/checkpoints", {"x": 1}, every=1)

    def killed(loop, number):
        if number == 3:
            raise Killed
        return epoch(loop, number)

    Loop._epoch = killed
    with suppress(Killed):
        train_network(histories, CODES, SIZES, told, LENGTH, kept())
    Loop._epoch = epoch
    return train_network(histories, CODES, SIZES, told, LENGTH, kept())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes left what they ended with."""
    place = tmp_path_factory.mktemp("two")
    (place / "script.py").write_text(SCRIPT)
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    run += [f"--master-port={free_port()}", str(place / "script.py")]
    done = subprocess.run(
        [*run, str(Path(__file__).parents[2]), str(place)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return place


def left(folder: Path, name: str, rank: int):
    with np.load(folder / f"{name} {rank}.npz") as file:
        arrays = dict(file)
    return arrays, *json.loads((folder / f"{name} {rank}.json").read_text())


@pytest.mark.parametrize("name", [*TRAININGS, "killed"])
def test_both_have_the_same_weights_and_figures(folder, name):
    (one, rows, _), (other, others, _) = left(folder, name, 0), left(folder, name, 1)
    assert all(one[key].tobytes() == other[key].tobytes() for key in one)
    assert timeless(rows) == timeless(others)


@pytest.mark.parametrize("name", [name for name in TRAININGS if name != "drawn"])
def test_without_dropout_they_are_those_of_one_process(folder, name):
    (weights, rows, report), whole = left(folder, name, 0), trained_here(name, str(folder))
    for row, expected in zip(timeless(rows), timeless(whole.history), strict=True):
        assert row.keys() == expected.keys()
        numbers = {n: v for n, v in expected.items() if n != "phase"}
        assert {n: row[n] for n in numbers} == pytest.approx(numbers, rel=0.02, abs=1e-3)
    for key, value in whole.model.state_dict().items():
        np.testing.assert_allclose(weights[key], value.numpy(), atol=0.02)
    assert report["targets"] == whole.report["targets"]


def test_killed_and_resumed_they_end_at_the_same_bits(folder):
    (again, rows, _), (whole, expected, _) = left(folder, "killed", 0), left(folder, "drawn", 0)
    assert all(again[key].tobytes() == whole[key].tobytes() for key in whole)
    assert timeless(rows) == timeless(expected)
