"""A run that tests change where they ask something of it."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from tests.grouped import within

from semantic_ids.forecast import Run
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.registry import tokenizer_class


@pytest.fixture
def make_run():
    """Make a run of 1,000,000 items in 256x256x256, but for what is given."""

    def make(kind="rq_kmeans", more=None, **changes):
        options = asdict(tokenizer_class(kind).options_class())
        if kind == "rq_vae":
            options["start"] = asdict(RQKMeansOptions())
        given = {
            "kind": kind,
            "codebook_sizes": (256, 256, 256),
            "seed": 1,
            "device": "cpu",
            "preprocess": None,
            "options": within(options, more or {})
            if kind == "rq_vae"
            else {**options, **(more or {})},
            "strategy": "reassign",
            "candidates": 8,
            "items": 1_000_000,
            "fit_items": 1_000_000,
            "watched_items": 100_000,
            "twin_items": 0,
            "queries": 1000,
        }
        return Run(**{**given, **changes})

    return make
