"""Several processes that train together.

What they tell each other, and that two of them make what one makes.

A script is started once, as two processes, by torchrun's module; what each process ended with is
compared with one process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import clustered
from tests.grouped import grouped
from tests.tokenizers.conftest import OPTIONS, RESIDUAL, SIZES

from semantic_ids.learning import distributed
from semantic_ids.tokenizers import fit_tokenizer

N, WATCHED = 701, np.arange(600, 701)
ROWS = np.arange(650)  # in batches of 46 and 47: shares of different sizes
TRAININGS = {
    "ema": OPTIONS["rq_vae"] | {"epochs": 6, "reset_below": 0.5},
    "end_to_end": OPTIONS["rq_vae"] | RESIDUAL | {"reset_below": 0.0, "clip": 1.0},
    "gradient": (
        OPTIONS["rq_vae"]
        | {
            "quantizer": "gradient",
            "epochs": 5,
            "accumulate": 2,
            "gradient": "rotation",
        }
    ),
    "none": OPTIONS["rq_vae"] | {"quantizer": "none", "epochs": 4},
    "single rows": (
        OPTIONS["rq_vae"]
        | {
            "batch_rows": 1,
            "epochs": 1,
            "warmup_epochs": 1,
            "plain_epochs": 0,
            "reset_below": 0.0,
            "burn_in": 1,
        }
    ),
    "drawn": (
        OPTIONS["rq_vae"]
        | RESIDUAL
        | {
            "dropout": 0.1,
            "sampling": 0.1,
            "masking": 0.3,
            "reset_below": 0.5,
            "burn_in": 3,
        }
    ),
    "gumbel": OPTIONS["rq_vae"] | {"quantizer": "gradient", "gradient": "gumbel", "epochs": 4},
}
DRAWN = ("drawn", "gumbel")
"""Each process draws for itself, so with them two processes end elsewhere than one."""

SCRIPT = """
import json, os, sys

import numpy as np
import torch
import torch.distributed as dist

root, folder, trainings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sys.path[:0] = [root + "/src", root]
from semantic_ids.learning import distributed
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop
from tests.learning.test_distributed import fit

rank = int(os.environ["RANK"])


def keep(name, tokenizer):
    books = {f"codebook.{i}": book for i, book in enumerate(tokenizer.quantizer.codebooks)}
    arrays = {n: t.detach().numpy() for n, t in (books | tokenizer._weights()).items()}
    np.savez(f"{folder}/{name} {rank}.npz", **arrays)
    told = json.dumps([[dict(row) for row in tokenizer.history], tokenizer.report])
    open(f"{folder}/{name} {rank}.json", "w").write(told)


class Killed(BaseException):
    pass


def told():
    a, b = torch.tensor([1.0 + rank, 10.0]), torch.tensor(rank)
    distributed.all_reduce(a, b)
    c = torch.full((2,), float(rank + 5))
    distributed.broadcast(c)
    uneven = torch.arange(6).reshape(3, 2)[: 3 - 2 * rank] + 100 * rank
    none = torch.zeros((0 if rank == 0 else 2, 3)) + 7
    found = {"world size": distributed.world_size(), "rank": distributed.rank()}
    found |= {"sums": a.tolist(), "sum": b.item(), "first": c.tolist()}
    found |= {"uneven": distributed.all_gather(uneven).tolist()}
    found |= {"none": distributed.all_gather(none).tolist()}
    distributed.join(torch.device("cpu"))  # has been done before
    return found | {"still joined": dist.is_initialized()}


def killed(trainer, number):
    if number == 4:
        raise Killed
    return epoch(trainer, number)


def checkpoints(place="/checkpoints"):
    return Checkpoints(folder + place, {"x": 1}, every=2)


assert distributed.world_size() == 1 and distributed.rank() == 0 and distributed.wanted() == 2
if len(trainings) == 1:  # nobody has joined them: the training does
    [(name, options)] = trainings.items()
    keep(name, fit(options))
    sys.exit()
distributed.join(torch.device("cpu"))
found = told()
for name, options in trainings.items():
    keep(name, fit(options))
epoch = Loop._epoch
Loop._epoch = killed
try:
    fit(trainings["drawn"], checkpoints())
except Killed:
    pass
Loop._epoch = epoch
seen = checkpoints("/checkpoints" if rank == 0 else "/nowhere")
keep("unseen", fit(trainings["drawn"], seen))
keep("again", fit(trainings["drawn"], checkpoints()))
with open(f"{folder}/told {rank}.json", "w") as file:
    json.dump(found, file)
"""


def fit(options, checkpoints=None):
    vectors = clustered(N, 12, seed=1)
    rows = ROWS[:60] if options.get("batch_rows") == 1 else ROWS
    return fit_tokenizer(
        vectors,
        kind="rq_vae",
        codebook_sizes=SIZES,
        device="cpu",
        options=grouped(options),
        rows=rows,
        monitor_rows=WATCHED,
        checkpoints=checkpoints,
    )


def start(folder: Path, trainings: dict) -> Path:
    """Run the script as two processes."""
    (folder / "script.py").write_text(SCRIPT)
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port()}",
        str(folder / "script.py"),
    ]
    done = subprocess.run(
        [*run, str(Path(__file__).parents[2]), str(folder), json.dumps(trainings)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes left what they ended with."""
    return start(tmp_path_factory.mktemp("two"), TRAININGS)


def left(folder: Path, name: str, rank: int):
    """Weights, history and report of a process."""
    with np.load(folder / f"{name} {rank}.npz") as file:
        arrays = dict(file)
    return arrays, *json.loads((folder / f"{name} {rank}.json").read_text())


def timeless(history):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "items_per_second")}
        for row in history
    ]


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---- one process ---------------------------------------------------------------------------------


def test_one_process_alone_tells_nobody_anything(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.wanted() == 1
    distributed.join(torch.device("cpu"))
    assert not torch.distributed.is_initialized()
    assert distributed.world_size() == 1 and distributed.rank() == 0
    rows = torch.arange(6.0).reshape(3, 2)
    assert distributed.all_gather(rows) is rows
    distributed.all_reduce(rows)
    distributed.broadcast(rows)
    assert torch.equal(rows, torch.arange(6.0).reshape(3, 2))


def test_torchrun_says_how_many_there_are(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert distributed.wanted() == 4


# ---- two processes -------------------------------------------------------------------------------


@pytest.mark.slow
def test_sums_the_first_ones_and_all_rows_are_the_same_in_both(folder):
    both = [json.loads((folder / f"told {rank}.json").read_text()) for rank in (0, 1)]
    assert [told.pop("rank") for told in both] == [0, 1]
    assert both[0] == both[1]
    assert both[0] == {
        "world size": 2,
        "sums": [3.0, 20.0],
        "sum": 1,
        "first": [5.0, 5.0],
        "uneven": [[0, 1], [2, 3], [4, 5], [100, 101]],
        "none": [[7.0] * 3] * 2,
        "still joined": True,
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TRAININGS, "again", "unseen"])
def test_both_processes_end_with_the_same_bits_and_the_same_history(folder, name):
    (first, history, report), (second, other, reported) = (
        left(folder, name, rank) for rank in (0, 1)
    )
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert value.tobytes() == second[key].tobytes(), key
    assert (
        timeless(history) == timeless(other) and report["best_epoch"] == reported["best_epoch"] > 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TRAININGS if name not in DRAWN])
def test_two_processes_make_what_one_makes_of_the_same_batches(folder, name, one_thread):
    found, history, report = left(folder, name, 0)
    single = fit(TRAININGS[name])
    arrays = {
        f"codebook.{i}": book for i, book in enumerate(single.quantizer.codebooks)
    } | single._weights()
    assert arrays.keys() == found.keys()
    for key, value in arrays.items():
        np.testing.assert_allclose(
            found[key], value.detach().numpy(), rtol=1e-4, atol=1e-4, err_msg=key
        )
    assert report["best_epoch"] == single.report["best_epoch"] and len(history) == len(
        single.history
    )
    for row, expected in zip(timeless(history), timeless(single.history), strict=True):
        assert row.pop("phase") == expected.pop("phase")
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-3)
    vectors = clustered(N, 12, seed=1)
    codes = single.encode(vectors)
    for level, book in enumerate(single.quantizer.codebooks):
        book.copy_(torch.from_numpy(found[f"codebook.{level}"]))
    single.quantizer.__post_init__()
    single.network.load_state_dict(
        {key: torch.from_numpy(value) for key, value in found.items() if "coder" in key},
        strict=False,
    )
    assert (single.encode(vectors) == codes).mean() > 0.99


@pytest.mark.slow
def test_a_training_joins_the_processes_where_nobody_has(folder, tmp_path):
    start(tmp_path, {"end_to_end": TRAININGS["end_to_end"]})
    (found, history, _), (expected, same, _) = (
        left(tmp_path, "end_to_end", 1),
        left(folder, "end_to_end", 0),
    )
    for key, value in expected.items():
        assert found[key].tobytes() == value.tobytes(), key
    assert timeless(history) == timeless(same)


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_where_much_is_drawn_two_processes_end_about_as_good_as_one(folder, name, one_thread):
    found, history, _ = left(folder, name, 0)
    single = fit(TRAININGS[name])
    assert history[-1]["watched_relative_mse"] == pytest.approx(
        single.history[-1]["watched_relative_mse"], rel=0.1
    )
    assert not np.array_equal(found["codebook.0"], single.quantizer.codebooks[0].numpy())


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_to_the_same_bits_and_the_first_alone_wrote(folder):
    assert_resumed(folder, "again")
    assert [place.name for place in (folder / "checkpoints").glob("*/epoch-*")] == ["epoch-00002"]


@pytest.mark.slow
def test_where_one_process_sees_no_checkpoint_both_go_on_from_that_of_rank_0(folder):
    assert_resumed(folder, "unseen")
    assert not (folder / "nowhere").exists()


def assert_resumed(folder, name):
    (again, history, _), (whole, expected, _) = left(folder, name, 0), left(folder, "drawn", 0)
    for key, value in whole.items():
        assert again[key].tobytes() == value.tobytes(), key
    assert timeless(history) == timeless(expected)
