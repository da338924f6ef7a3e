"""Small fitted tokenizers of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import clustered

SIZES = (8, 5, 7)  # neither equal nor powers of two
OPTIONS = {
    "rq_kmeans": {"iterations": 5},
    "rq_vae": {"hidden": [24], "latent": 6, "epochs": 12, "batch_rows": 50, "warmup_epochs": 2, "init_rows": 400, "learning_rate": 3e-3},
}
KINDS = tuple(OPTIONS)


def fitted(kind: str, vectors: np.ndarray, sizes=SIZES, preprocess=None, options=None, **more):
    options = {**OPTIONS[kind], **(options or {})}
    return fit_tokenizer(vectors, kind=kind, codebook_sizes=sizes, device="cpu", preprocess=preprocess, options=options, **more)


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return clustered(700, 12, seed=1)


@pytest.fixture(scope="session", params=KINDS)
def tokenizer(request, vectors):
    return fitted(request.param, vectors)
