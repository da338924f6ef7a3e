"""k-means in FAISS: another engine for what codebooks start from.

The same signature as `kmeans.kmeans`, so every start that is built on k-means can run in it.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from semantic_ids.compute.faiss_library import fixed_threads, installed, load_faiss
from semantic_ids.extras import install
from semantic_ids.quantization.kmeans import random_points

logger = logging.getLogger(__name__)

OPTION = "tokenizer.rq_kmeans.engine"
THREADS = 8
"""How FAISS rounds may depend on the number of threads, so it is one number on every machine. On 2
cores 8 threads took 1.2 times as long as 2, and 0.7 times as long as one."""


def faiss_kmeans(
    points: Tensor,
    size: int,
    generator: torch.Generator,
    iterations: int = 25,
    start: Tensor | None = None,
) -> Tensor:
    """Lloyd's algorithm of `faiss.Kmeans` on all points, none left out.

    It runs on all GPUs that FAISS finds where the points are on one, on the CPU otherwise. An empty
    cluster takes half of a large one.

    Args:
        points: Shape (n, d), float32.
        size: Number of centroids K; where there are no more points, they are points.
        generator: CPU generator, for FAISS's seed.
        iterations: Lloyd iterations.
        start: Centroids to start from, shape (K, d); FAISS's own random points if None.

    Returns:
        Shape (K, d), on the device of the points.

    Raises:
        BadInput: FAISS is not installed.
    """
    faiss = load_faiss(OPTION)
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    if len(points) <= size:
        return random_points(points, size, generator)
    engine = faiss.Kmeans(
        points.shape[1],
        size,
        niter=iterations,
        seed=seed,
        gpu=points.device.type == "cuda" and faiss.get_num_gpus(),
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    with fixed_threads(faiss, THREADS):
        engine.train(
            points.cpu().numpy(),
            init_centroids=None if start is None else start.contiguous().cpu().numpy(),
        )
    return torch.from_numpy(engine.centroids.copy()).to(points.device)


def log_device(device: torch.device) -> None:
    """Log where FAISS computes; warn where a GPU is meant and it finds none.

    Raises:
        BadInput: FAISS is not installed.
    """
    faiss = load_faiss(OPTION)
    number = faiss.get_num_gpus() if device.type == "cuda" else 0
    package = ", ".join(installed()) or "faiss"
    if device.type == "cuda" and not number:
        logger.warning(
            "%s %s finds no CUDA device: k-means starts on the CPU; %s in place of it",
            package,
            faiss.__version__,
            install("gpu"),
        )
    else:
        logger.info(
            "k-means starts in %s %s on %s",
            package,
            faiss.__version__,
            f"{number} GPUs" if number else f"the CPU, {THREADS} threads",
        )
