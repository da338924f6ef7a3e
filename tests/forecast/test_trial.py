"""Pieces of the work, done on trial: what is made of their seconds."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import clustered

from semantic_ids.forecast import estimate_cost, trial
from semantic_ids.forecast.drawn import as_crowded, drawn
from semantic_ids.forecast.timing import Growth
from semantic_ids.forecast.trial import Trial

VECTORS = clustered(600, 8)
SMALL = {
    "codebook_sizes": (8, 8, 16),
    "items": 600,
    "fit_items": 600,
    "watched_items": 60,
    "queries": 50,
}
QUICK_VAE = {"architecture": "mlp", "hidden": (16,), "latent": 4, "epochs": 3, "batch_rows": 100}


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
        found.anneal = found.refine = found.rough = Growth(0.0, 1.0)
        found.start = 0.0
        return found

    return make


@pytest.mark.parametrize(
    ("items", "unique", "encoded"),
    [(100_000, 3, 0), (256 * 512, 3, 0), (256 * 512 + 1, 0, 1), (10**7, 0, 1)],
)
def test_a_fit_is_its_rounds(pieces, items, unique, encoded):
    """80 rounds on 10,240 rows, then 4 and those for unique IDs on what is fitted on; all items are
    given rough prefixes once where these are a part.
    """
    rows = min(items, 256 * 512)
    assert pieces().train(items) == 80 * 10_240 + (4 + unique) * rows + encoded * items
    assert pieces(strategy="suffix").train(items) == 80 * 10_240 + 4 * rows


def test_prefixes_are_as_full_as_those_of_the_run(make_run):
    """A million items in 256x256 prefixes are 15 to each; so are the few that are tried."""
    vectors = clustered(5000, 8)
    found = Trial(vectors, make_run(codebook_sizes=(256, 256, 32), items=1_000_000))
    first, second, last = as_crowded(found.tokenizer, found.latents, found.run, 32).codebook_sizes
    assert last == 32 and found.rows / (first * second) == pytest.approx(1e6 / 65_536, rel=0.1)


def test_a_smaller_last_codebook_gets_as_many_fewer_items_a_prefix(make_run):
    """A million items in 256x256 prefixes are 15 to each, for 64 codes; with a quarter of the codes
    they are a quarter as many."""
    run = make_run(codebook_sizes=(256, 256, 64), items=1_000_000)
    found = Trial(clustered(5000, 8), run)
    first, second, last = as_crowded(found.tokenizer, found.latents, run, 16).codebook_sizes
    assert last == 16
    assert found.rows / (first * second) == pytest.approx(1e6 / 65_536 / 4, rel=0.1)


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_no_codebook_is_fitted_on_trial(make_run, kind, monkeypatch):
    """Codebooks of a network on trial are drawn: k-means there took most of the trial."""

    def refuse(*_, **__):
        raise AssertionError("k-means")

    monkeypatch.setattr("semantic_ids.tokenizers.rq_vae.model.kmeans", refuse)
    monkeypatch.setattr("semantic_ids.tokenizers.rq_kmeans.RQKMeans._fit", refuse)
    more = QUICK_VAE if kind == "rq_vae" else {}
    run = make_run(kind, more, **SMALL)
    made = drawn(VECTORS, run, run.codebook_sizes, 512)
    assert [len(codebook) for codebook in made.quantizer.codebooks] == [8, 8, 16]
    assert made.encode(VECTORS).max(0).min() > 0


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
