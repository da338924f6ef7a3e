"""Pieces of the work, done on trial: what is made of their seconds."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import clustered

from semantic_ids.forecast import estimate_cost, trial
from semantic_ids.forecast.trial import Growth, Trial

VECTORS = clustered(600, 8)
SMALL = {
    "codebook_sizes": (8, 8, 16),
    "items": 600,
    "fit_items": 600,
    "watched_items": 60,
    "queries": 50,
}
QUICK_VAE = {"architecture": "mlp", "hidden": (16,), "latent": 4, "epochs": 3, "batch_rows": 100}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that work says it has taken: what tells the law from the machine."""
    said = []
    monkeypatch.setattr(trial, "seconds_of", lambda work: (work(), said.pop(0))[1])
    return said


@pytest.mark.parametrize("fixed", [0.0, 0.25])
def test_what_does_not_grow_with_the_rows_is_told_from_what_does(clock, fixed):
    rows, each = 1000, 0.001
    clock[:] = [fixed + each * 250, fixed + each * rows]
    found = Growth.of(lambda _: None, rows)
    assert (found.fixed, found.each) == pytest.approx((fixed, each))
    assert found(10_000) == pytest.approx(fixed + each * 10_000)


@pytest.mark.parametrize("short", [0.9, 1.0, 5.0])
def test_a_disturbed_measurement_never_makes_rows_free(clock, short):
    clock[:] = [short, 1.0]
    found = Growth.of(lambda _: None, 1000)
    assert found.each >= 0.5 / 1000 and found.fixed >= 0 and found(1000) == pytest.approx(1.0)


def test_one_row_is_its_own_measure(clock):
    clock[:] = [0.5, 0.5]
    assert Growth.of(lambda _: None, 1) == Growth(0.0, 0.5)


def test_the_quickest_of_a_few_tries_counts(monkeypatch):
    times = iter([0.0, 0.04, 1.0, 1.01, 2.0, 2.03])
    monkeypatch.setattr(trial.time, "perf_counter", lambda: next(times))
    assert trial.seconds_of(lambda: None) == pytest.approx(0.01)


@pytest.mark.parametrize(("kind", "more"), [("rq_kmeans", {}), ("rq_vae", QUICK_VAE)])
def test_every_stage_has_seconds_and_memory(make_run, kind, more):
    found = estimate_cost(VECTORS, make_run(kind, more, **SMALL))
    stages = ["train", "encode", "deduplicate", "evaluate"]
    assert list(found.seconds) == list(found.held) == stages
    assert all(np.isfinite(value) and value > 0 for value in found.seconds.values())
    assert found.trial_seconds > 0


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("rq_kmeans", {"balance": 2.0}),
        ("rq_vae", {**QUICK_VAE, "init": "kmeans"}),
        ("rq_vae", {**QUICK_VAE, "quantizer": "none"}),
    ],
)
def test_every_option_can_be_tried(make_run, kind, more):
    found = Trial(VECTORS, make_run(kind, more, **SMALL))
    assert 0 < found.train(600) < found.train(6000)


@pytest.fixture
def pieces(make_run):
    """A trial of which every piece takes a second a row."""

    def make(**changes):
        found = object.__new__(Trial)
        found.run = make_run(**changes)
        found.kmeans = trial.RQKMeans(
            found.run.codebook_sizes, 1, "cpu", None, dict(found.run.options)
        )
        found.prepared = found.axes = found.deduplicate = Growth(0.0, 0.0)
        found.anneal = found.refine = found.encode = Growth(0.0, 1.0)
        found.start = 0.0
        return found

    return make


@pytest.mark.parametrize(
    ("items", "unique", "encoded"),
    [(100_000, 3, 0), (256 * 512, 3, 0), (256 * 512 + 1, 0, 1), (10**7, 0, 1)],
)
def test_a_fit_is_its_rounds(pieces, items, unique, encoded):
    """80 rounds on 10,240 rows, then 4 and those for unique IDs on what is fitted on; all items are
    encoded once where these are a part.
    """
    rows = min(items, 256 * 512)
    assert pieces().train(items) == 80 * 10_240 + (4 + unique) * rows + encoded * items
    assert pieces(strategy="suffix").train(items) == 80 * 10_240 + 4 * rows


def test_prefixes_are_as_full_as_those_of_the_run(make_run):
    """A million items in 256x256 prefixes are 15 to each; so are the few that are tried."""
    vectors = clustered(5000, 8)
    found = Trial(vectors, make_run(codebook_sizes=(256, 256, 32), items=1_000_000))
    first, second, last = found._as_crowded().codebook_sizes
    assert last == 32 and found.rows / (first * second) == pytest.approx(1e6 / 65_536, rel=0.1)


def test_a_twin_is_counted_with_the_evaluation(make_run, monkeypatch):
    pieces = {"train": 100.0, "encode": 1.0, "deduplicate": 5.0, "evaluate": 10.0}

    class Told:
        def __init__(self, *_):
            for name, seconds in pieces.items():
                setattr(self, name, Growth(0.0, seconds))

    monkeypatch.setattr(trial, "Trial", Told)
    alone, twin = (
        trial.stage_seconds(VECTORS, make_run(**SMALL, twin_items=items)) for items in (0, 540)
    )
    assert alone == {name: 600 * seconds for name, seconds in pieces.items()}
    assert twin == {**alone, "evaluate": 600 * 10.0 + 540 * 100.0 + 2 * 60 * 1.0}
