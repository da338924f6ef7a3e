"""Laws that any estimate of memory keeps, and what there is to be had."""

from __future__ import annotations

import os
import sys

import pytest

from semantic_ids.forecast import memory
from semantic_ids.identifiers import sparse_assignment
from semantic_ids.learning.batches import HELD_BYTES
from semantic_ids.quantization import residual

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc")
DIM = 768


def growth(make_run, stage, dim=DIM):
    """Bytes that a stage holds for each item more, between one million and four."""
    one, four = (
        memory.held(make_run(items=n, fit_items=n), dim, 2)[stage] for n in (1_000_000, 4_000_000)
    )
    return (four - one) / 3_000_000


def train(run, dim=DIM):
    return memory.held(run, dim, 2)["train"]


@pytest.mark.parametrize(
    ("stage", "most"), [("train", 0), ("encode", 200), ("deduplicate", 200), ("evaluate", 300)]
)
def test_items_take_their_codes_and_little_more(make_run, stage, most):
    """A vector of 768 dimensions is 3,072 bytes: nobody holds them all."""
    assert growth(make_run, stage) <= most
    assert growth(make_run, stage) == pytest.approx(growth(make_run, stage, dim=96))


def test_a_fit_holds_no_more_items_than_it_sees(make_run):
    most = 256 * 512
    fewer, all_, more = (
        train(make_run(items=10**8, fit_items=n, strategy="none"))
        for n in (100_000, most + 1, 10**8)
    )
    assert fewer < all_ == more and all_ > most * DIM * 4


def test_strategies_that_move_nobody_hold_less(make_run):
    held = {
        name: memory.held(make_run(strategy=name), DIM, 2)["deduplicate"]
        for name in ("reassign", "suffix", "none")
    }
    assert held["suffix"] == held["none"] < held["reassign"]


def test_rows_of_an_rq_vae_are_held_only_if_they_are_few(make_run):
    """Beyond a size they are read again each epoch, in buffers."""
    most = HELD_BYTES // (DIM * 4)
    few, many, more = (
        train(make_run("rq_vae", items=n, fit_items=n, watched_items=0, strategy="none"))
        for n in (most, most + 1, 2 * most)
    )
    assert few - many > HELD_BYTES / 4 and more - many < 600 * most


def test_a_twin_holds_what_a_fit_holds(make_run):
    small = {"items": 150_000, "fit_items": 150_000}
    with_, without = (
        memory.held(make_run(**small, twin_items=twin), DIM, 2) for twin in (135_000, 0)
    )
    assert with_["evaluate"] > without["evaluate"] > 0
    assert with_["evaluate"] - without["evaluate"] < train(make_run(**small))
    assert {name: with_[name] == without[name] for name in ("train", "encode", "deduplicate")} == {
        "train": True,
        "encode": True,
        "deduplicate": True,
    }


def test_products_that_are_not_held_are_not_counted(make_run):
    """Two codebooks of 65,536 codes have 4.3 billion products: 17 GB that nobody holds."""
    pairs = residual.HELD_PRODUCTS
    few, many = int(pairs**0.5), int(pairs**0.5) + 1
    held, free = (
        memory.held(make_run(codebook_sizes=(n, n), strategy="none"), 8, 2)["encode"]
        for n in (few, many)
    )
    exact = 8 * residual.LARGEST_EXACT
    assert held - free == pytest.approx(4 * pairs + exact, rel=0.01)
    huge = memory.held(make_run(codebook_sizes=(65_536, 65_536)), 8, 2)
    assert max(huge.values()) < 17e9


def test_large_last_codebooks_are_assigned_over_few_candidates(make_run):
    """No table of 65,536 items and codes: 34 GB."""
    small, large = (
        memory.held(make_run(codebook_sizes=(4, last)), 8, 2)["deduplicate"]
        for last in (256, 65_536)
    )
    sparse = memory.PAIR_BYTES * sparse_assignment.PAIRS
    assert sparse < large - small < 2 * sparse + 1e9


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_each_thread_has_rows_of_its_own(make_run, threads):
    one, several = (memory.held(make_run(), DIM, n)["encode"] for n in (1, threads))
    more = several - one
    assert more == pytest.approx((threads - 1) * (memory.held(make_run(), DIM, 2)["encode"] - one))


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
