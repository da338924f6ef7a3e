"""Parameters of small, quick tokenizers: those of the Python API, but for a few."""

from __future__ import annotations

from dataclasses import asdict

from semantic_ids.parameters import RQVAEParameters
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from tests.grouped import within

_VAE = {
    name: value
    for name, value in asdict(RQVAEOptions()).items()
    if name in RQVAEParameters.model_fields
}
SMALL = {
    "kind": "rq_kmeans",
    "codebook_sizes": [6, 6],
    "seed": 1,
    "device": "cpu",
    "fit_on": "all",
    "preprocess": asdict(PreprocessOptions()),
    "rq_kmeans": {
        **asdict(RQKMeansOptions()),
        "iterations": 1,
        "anneal_rounds": 3,
        "refine_gain": 0.0,
    },
    "rq_vae": within(
        _VAE,
        {
            "architecture": "mlp",
            "hidden": [16],
            "latent": 4,
            "init": "kmeans",
            "init_rows": 200,
            "epochs": 3,
            "batch_rows": 100,
            "encoder_rate": 1.0,
        },
    ),
    "checkpoints": {"every": 0, "keep": 1, "trainings": 8, "resume": "auto"},
}
