"""Small fitted tokenizers of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import clustered

SIZES = (8, 5, 7)  # neither equal nor powers of two
OPTIONS = {
    "rq_kmeans": {"iterations": 2, "anneal_rounds": 10, "anneal_rows": 300, "beam_size": 3},
    "rq_vae": {"hidden": [24], "latent": 6, "epochs": 12, "batch_rows": 50, "warmup_epochs": 2, "init_rows": 400, "learning_rate": 3e-3},
}
KINDS = tuple(OPTIONS)
AXES = {"dimensions": 9, "whiten": 0.5}  # of 12
PREPROCESS = [pytest.param({}, id="as_they_are"), pytest.param(AXES, id="axes")]


def fitted(kind: str, vectors: np.ndarray, sizes=SIZES, preprocess=None, options=None, **more):
    options = {**OPTIONS[kind], **(options or {})}
    return fit_tokenizer(vectors, kind=kind, codebook_sizes=sizes, device="cpu", preprocess=preprocess, options=options, **more)


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return clustered(700, 12, seed=1)


@pytest.fixture(scope="session", params=PREPROCESS)
def preprocess(request):
    return request.param


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request, vectors, preprocess):
    return fitted(request.param, vectors, preprocess=preprocess)
