"""Small fitted tokenizers of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.tokenizers import fit_tokenizer
from tests.grouped import grouped

SIZES = (8, 5, 7)  # neither equal nor powers of two
OPTIONS = {
    "rq_kmeans": {"iterations": 2, "anneal_rounds": 10, "anneal_rows": 300, "beam_size": 3},
    "rq_vae": {
        "architecture": "mlp",
        "hidden": [24],
        "latent": 6,
        "dropout": 0.0,
        "quantizer": "ema",
        "joint": False,
        "beam_size": 1,
        "init": "kmeans",
        "init_rows": 400,
        "commitment": 0.25,
        "codebook_weight": 1.0,
        "epochs": 12,
        "batch_rows": 50,
        "learning_rate": 3e-3,
        "encoder_rate": 1.0,
        "warmup_epochs": 2,
        "plain_epochs": 2,
    },
}
KINDS = tuple(OPTIONS)
RESIDUAL = {
    "architecture": "residual",
    "quantizer": "end_to_end",
    "joint": True,
    "beam_size": 3,
    "init": "rq_kmeans",
    "start": {"anneal_rounds": 4, "iterations": 1, "anneal_rows": 300},
    "commitment": 1.0,
    "codebook_weight": 0.0,
    "epochs": 4,
    "warmup_epochs": 1,
    "plain_epochs": 0,
}
"""What of `OPTIONS["rq_vae"]` is otherwise with the residual architecture."""
VARIANTS = [
    pytest.param(("rq_kmeans", {}), id="rq_kmeans"),
    pytest.param(("rq_vae", {}), id="rq_vae"),
    pytest.param(("rq_vae", RESIDUAL), id="rq_vae_residual"),
]
AXES = {"dimensions": 9, "whiten": 0.5}  # of 12
PREPROCESS = [pytest.param({}, id="as_they_are"), pytest.param(AXES, id="axes")]


def fitted(kind: str, vectors: np.ndarray, sizes=SIZES, preprocess=None, options=None, **more):
    options = {**OPTIONS[kind], **(options or {})}
    options = grouped(options) if kind == "rq_vae" else options
    return fit_tokenizer(
        vectors,
        kind=kind,
        codebook_sizes=sizes,
        device="cpu",
        preprocess=preprocess,
        options=options,
        **more,
    )


@pytest.fixture(scope="session", params=PREPROCESS)
def preprocess(request):
    return request.param


@pytest.fixture(scope="session", params=VARIANTS)
def tokenizer(request, vectors, preprocess):
    kind, options = request.param
    return fitted(kind, vectors, preprocess=preprocess, options=options)
