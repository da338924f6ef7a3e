"""Laws that any estimate of memory keeps, and what there is to be had."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from semantic_ids.compute import threads
from semantic_ids.forecast import job, memory
from semantic_ids.identifiers import placement
from semantic_ids.learning import batches
from semantic_ids.quantization import residual
from semantic_ids.tokenizers.rq_vae import task

STAGES = ("train", "encode", "deduplicate", "evaluate")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")


def growth(make_job, stage, **changes):
    """Bytes that a stage holds for each item more, between one million and four."""
    one, four = (
        memory.held(make_job(items=n, fit_items=n, **changes), 2)[stage]
        for n in (1_000_000, 4_000_000)
    )
    return (four - one) / 3_000_000


@pytest.mark.parametrize(
    ("stage", "most"), [("train", 0), ("encode", 200), ("deduplicate", 200), ("evaluate", 300)]
)
def test_items_take_their_codes_and_little_more(make_job, stage, most):
    """A vector of 768 dimensions is 3,072 bytes: nobody holds them all."""
    assert growth(make_job, stage) <= most
    assert growth(make_job, stage) == pytest.approx(growth(make_job, stage, dim=96, width=96))


def test_a_fit_holds_no_more_items_than_it_sees(make_job):
    job = make_job()
    fewer, all_, more = (memory.train(job, n, 2) for n in (100_000, 256 * 512 + 1, 10**8))
    assert fewer < all_ == more
    assert all_ > 256 * 512 * 768 * 4  # the vectors fitted on


def test_rounds_for_unique_ids_count_where_the_fit_sees_all_items(make_job):
    """With many offers they take more than the fit itself."""
    with_, without = (
        memory.train(
            make_job(width=4, dim=4, candidates=1000, more={"unique_rounds": rounds}), 256 * 512, 2
        )
        for rounds in (3, 0)
    )
    assert with_ > without
    with_, without = (
        memory.train(
            make_job(width=4, dim=4, candidates=1000, more={"unique_rounds": rounds}),
            256 * 512 + 1,
            2,
        )
        for rounds in (3, 0)
    )
    assert with_ == without


def test_strategies_that_move_nobody_hold_less(make_job):
    reassign, suffix = (
        memory.deduplicate(make_job(strategy=name), 1_000_000) for name in ("reassign", "suffix")
    )
    assert suffix < reassign and suffix == memory.deduplicate(make_job(strategy="none"), 1_000_000)


def test_rows_of_an_rq_vae_are_held_only_if_they_are_few(make_job):
    """Up to 512 MiB they are in memory; beyond, they are read again each epoch."""
    job, most = make_job("rq_vae", watched_items=0), memory.IN_MEMORY // (768 * 4)
    held, read = memory.train(job, most, 2), memory.train(job, most + 1, 2)
    assert held - read >= 0.99 * memory.IN_MEMORY and memory.train(job, 10**8, 2) == read


def test_a_twin_holds_what_a_fit_holds(make_job):
    small = make_job(items=150_000, fit_items=150_000)
    with_twin = make_job(items=150_000, fit_items=150_000, twin_items=135_000)
    assert (
        memory.evaluate(with_twin, 2)
        == max(memory.train(small, 135_000, 2), memory.evaluate(small, 2))
        > memory.evaluate(small, 2)
    )


def test_what_lies_on_a_gpu_is_not_counted(make_job):
    there, here = (memory.held(make_job(on_gpu=on_gpu), 2) for on_gpu in (True, False))
    assert all(there[stage] < here[stage] for stage in STAGES)
    assert here["train"] - there["train"] > 256 * 512 * 768 * 4


@pytest.mark.parametrize(
    "sizes", [(256, 256, 256), (512, 128), (64, 32, 16, 8), (1024, 1024, 1024)]
)
@pytest.mark.parametrize("dim", [32, 768])
def test_codebooks_take_what_they_take(make_job, sizes, dim):
    """What a quantiser keeps, counted on its tensors, and on top the float64 copies that its
    largest table is made from.
    """
    quantizer = residual.ResidualQuantizer([torch.zeros((size, dim)) for size in sizes])
    kept = [
        *quantizer.codebooks,
        quantizer.stacked,
        quantizer.norms,
        *(table for tables in quantizer.products for table in tables),
    ]
    first, second = sorted(sizes)[-2:]
    peak = (
        sum(tensor.nbytes for tensor in kept) + 8 * (2 * second + first) * dim + 8 * first * second
    )
    assert (
        peak / 1.5
        <= memory.codebooks(make_job(codebook_sizes=list(sizes), dim=dim, width=dim))
        <= 2 * peak
    )


def test_constants_that_mirror_others_are_still_theirs():
    assert memory.WORKER == threads.WORKER_ROWS
    assert memory.SEARCH == 4 * 4 * residual.BEAM_CELLS
    assert memory.COSTS_AT_A_TIME == placement.COSTS_AT_A_TIME
    assert memory.IN_MEMORY == batches.HELD_BYTES and memory.BUFFER_ROWS == batches.BUFFER_ROWS
    assert job.LATENT_BYTES == task.UNIQUE_BYTES


@linux
def test_resident_is_what_the_system_counts_in_pages():
    """/proc/self/statm counts pages where /proc/self/status has kilobytes.

    The process may grow a little in between.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    assert memory.resident() == pytest.approx(
        pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1, abs=2**24
    )


@linux
def test_there_is_no_more_room_than_the_machine_has():
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.room() <= machine + memory.resident()


def test_room_is_what_is_here_and_what_is_free_but_within_the_limit(monkeypatch):
    figures = {"/proc/self/status": {"VmRSS": 3_000}, "/proc/meminfo": {"MemAvailable": 7_000}}
    monkeypatch.setattr(memory, "_kilobytes", lambda file: figures[str(file)])
    monkeypatch.setattr(memory, "_limit", lambda _: float("inf"))
    assert memory.resident() == 3_000 * 1024 and memory.room() == 10_000 * 1024
    monkeypatch.setattr(memory, "_limit", lambda _: 5e6)
    assert memory.room() == 5e6
    monkeypatch.setattr(memory, "_limit", lambda _: float("inf"))
    monkeypatch.setattr(memory, "_kilobytes", lambda _: {})
    assert memory.resident() == 0 and memory.room() == float("inf")


@pytest.mark.parametrize(
    ("text", "limit"), [("max\n", float("inf")), ("1073741824\n", 2**30), ("", float("inf"))]
)
def test_the_limit_of_a_container(tmp_path, text, limit):
    (tmp_path / "memory.max").write_text(text)
    assert memory._limit(tmp_path / "memory.max") == limit


def test_files_that_are_not_there_say_nothing(tmp_path):
    assert (
        memory._limit(tmp_path / "none") == float("inf")
        and memory._kilobytes(tmp_path / "none") == {}
    )


def test_lines_of_kilobytes_are_read(tmp_path):
    (tmp_path / "status").write_text(
        "Name:\tpython\nVmRSS:\t   29540 kB\nThreads:\t3\nHugePages_Total:       0\n"
    )
    assert memory._kilobytes(tmp_path / "status") == {"VmRSS": 29540}
