"""A job of the usual size, and a machine."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from semantic_ids.forecast import Job, Speed
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

OPTIONS = {
    "rq_kmeans": asdict(RQKMeansOptions()),
    "rq_vae": {**asdict(RQVAEOptions()), "start": asdict(RQKMeansOptions())},
}
USUAL = {
    "items": 1_000_000,
    "dim": 768,
    "fit_items": 1_000_000,
    "watched_items": 100_000,
    "codebook_sizes": [256, 256, 256],
    "width": 768,
    "rotates": False,
    "strategy": "reassign",
    "candidates": 8,
    "queries": 1000,
    "twin_items": 0,
    "collision_rate": 0.7,
    "spilled_rate": 0.01,
}


@pytest.fixture
def make_job():
    """Return a function that makes a job of the usual size but for some changes.

    `more`: changes of its options.
    """

    def make(kind="rq_kmeans", more=(), **changes):
        return Job(**{**USUAL, "kind": kind, "options": {**OPTIONS[kind], **dict(more)}, **changes})

    return make


@pytest.fixture
def speed() -> Speed:
    return Speed(
        products=1.2e11,
        cpu_products=1.0e11,
        search=5e-6,
        drawn_search=2e-5,
        passes=1.5e9,
        threads=2,
    )
