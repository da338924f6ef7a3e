"""The probe: what it makes of the seconds it measures. No second is asserted."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from semantic_ids.compute.threads import WORKER_ROWS
from semantic_ids.forecast import Speed, probe
from semantic_ids.quantization.refinement import LEAST_ANNEALED_BEAM
from semantic_ids.quantization.residual import ResidualQuantizer


@pytest.fixture
def half_a_second(monkeypatch):
    """Every work is done once, and took half a second."""
    monkeypatch.setattr(probe, "_least_seconds", lambda work, *_: work() or 0.5)


@pytest.mark.parametrize("anneals", [True, False])
def test_every_figure_is_finite_and_positive(monkeypatch, anneals):
    monkeypatch.setattr(probe, "PRODUCT_WORK", 1 << 14)
    monkeypatch.setattr(probe, "SEARCH_CELLS", 1 << 10)
    monkeypatch.setattr(probe, "PASS_SHAPE", (4, 8))
    found = probe.speeds(8, [8, 4, 8], beam=2, anneals=anneals, device="cpu")
    assert set(found) == {field.name for field in dataclasses.fields(Speed)}
    assert all(math.isfinite(value) and value > 0 for value in found.values())
    assert (
        found["threads"] == torch.get_num_threads() and found["cpu_products"] == found["products"]
    )
    assert anneals or found["drawn_search"] == found["search"]


@pytest.mark.parametrize(("beam", "drawn"), [(1, LEAST_ANNEALED_BEAM), (64, 64)])
def test_annealing_finds_as_many_codes_as_its_beam_is_wide(monkeypatch, beam, drawn):
    searched = []
    monkeypatch.setattr(probe, "product_speed", lambda *_: 1.0)
    monkeypatch.setattr(probe, "pass_speed", lambda: 1.0)
    monkeypatch.setattr(
        probe,
        "search_seconds",
        lambda sizes, beam, found=1, device="auto": searched.append((beam, found)) or 1.0,
    )
    probe.speeds(8, [8, 8], beam=beam, device="cpu")
    assert searched == [(beam, 1), (drawn, drawn)]


@pytest.mark.parametrize(("dim", "columns"), [(16, 24), (8, 10_000), (10_000, 8), (1, 1)])
def test_product_speed_is_two_operations_a_multiplication(monkeypatch, half_a_second, dim, columns):
    multiplied, real = [], torch.addmm

    def addmm(offsets, block, factors):
        multiplied.append(len(block) * factors.numel())
        return real(offsets, block, factors)

    monkeypatch.setattr(probe, "PRODUCT_WORK", 1 << 18)
    monkeypatch.setattr(torch, "addmm", addmm)
    speed = probe.product_speed(dim, columns, "cpu")
    assert speed == 2 * sum(multiplied) / 0.5
    assert len(multiplied) == torch.get_num_threads() and max(multiplied) <= 1 << 18


@pytest.fixture
def searched(monkeypatch):
    """(rows, codes found, beam, sizes) of every search."""
    calls, real = [], ResidualQuantizer.search

    def search(self, z, t, beam):
        calls.append((len(z), t, beam, tuple(self.sizes)))
        return real(self, z, t, beam)

    monkeypatch.setattr(ResidualQuantizer, "search", search)
    return calls


@pytest.mark.parametrize("sizes", [[8, 4, 8], [8]])
def test_search_seconds_are_those_of_an_item(monkeypatch, half_a_second, searched, sizes):
    monkeypatch.setattr(probe, "SEARCH_CELLS", 1 << 12)
    found = probe.search_seconds(sizes, beam=3, found=2, device="cpu")
    assert found == pytest.approx(0.5 / sum(rows for rows, *_ in searched))
    assert [call[1:] for call in searched] == [(2, 3, tuple(sizes))] * torch.get_num_threads()


def test_large_codebooks_are_tried_halved_and_the_time_is_in_proportion(
    monkeypatch, half_a_second, searched
):
    monkeypatch.setattr(probe, "SEARCH_CELLS", 1 << 12)
    monkeypatch.setattr(probe, "LARGEST_TABLE", 64)
    found = probe.search_seconds([16, 16, 4], beam=3, device="cpu")
    assert {call[3] for call in searched} == {(8, 8, 4)}
    assert found == pytest.approx(0.5 / sum(rows for rows, *_ in searched) * 36 / 20)


@pytest.mark.parametrize(
    ("sizes", "tried"),
    [
        ([256, 256, 256], [256, 256, 256]),
        ([4096, 4096], [1024, 2048]),
        ([65536, 32, 8], [65536, 32, 8]),
        ([8, 65536, 64], [8, 32768, 64]),
        ([1 << 24], [1 << 24]),
    ],
)
def test_codebooks_are_halved_until_no_table_is_too_large(sizes, tried):
    given = list(sizes)
    assert probe._small_enough(sizes) == tried and sizes == given


@pytest.mark.parametrize(("cells", "rows"), [(1, probe.LEAST_SEARCHED), (1 << 30, WORKER_ROWS)])
def test_a_try_has_neither_too_few_rows_nor_too_many(
    monkeypatch, half_a_second, searched, cells, rows
):
    monkeypatch.setattr(probe, "SEARCH_CELLS", cells)
    probe.search_seconds([4, 4], beam=1, device="cpu")
    assert {call[0] for call in searched} == {rows}


def test_pass_speed_is_numbers_a_second(monkeypatch, half_a_second):
    monkeypatch.setattr(probe, "PASS_SHAPE", (6, 7))
    assert probe.pass_speed() == 42 / 0.5


def test_the_quickest_try_counts_and_is_never_nothing(monkeypatch):
    done, ticks = [], iter([0.0, 3.0, 10.0, 11.5, 20.0, 22.0])
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert (
        probe._least_seconds(lambda: done.append(1), torch.device("cpu"), 3) == 1.5
        and len(done) == 3
    )
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: 7.0))
    assert probe._least_seconds(lambda: None, torch.device("cpu")) > 0
