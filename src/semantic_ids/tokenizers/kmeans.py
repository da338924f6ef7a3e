"""k-means in torch, for the codebooks that an RQ-VAE starts from. Needs nothing but torch, on CPU or GPU."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 8192


def kmeans(points: Tensor, size: int, generator: torch.Generator, iterations: int = 20) -> Tensor:
    """Lloyd's algorithm from random points; an empty cluster is set onto the point that is worst represented.

    Args:
        points: Shape (n, d), float32.
        size: Number of centroids K; where there are fewer points, some centroids are copies of points.
        generator: CPU generator of the random start.
        iterations: Lloyd iterations.

    Returns:
        Shape (K, d), on the device of the points.
    """
    order = torch.randperm(len(points), generator=generator).to(points.device)
    centroids = points[order[torch.arange(size, device=points.device) % len(points)]].clone()
    for _ in range(iterations):
        codes, errors = nearest(points, centroids)
        sums, counts = totals(points, codes, size)
        filled = counts > 0
        centroids[filled] = sums[filled] / counts[filled, None]
        empty = torch.nonzero(~filled).flatten()[: len(points)]
        if len(empty):
            centroids[empty] = points[errors.topk(len(empty)).indices]
    return centroids


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Return each point's nearest centroid and the squared distance to it: (n, d), (K, d) → (n,), (n,)."""
    norms = (centroids * centroids).sum(1)
    codes, errors = [], []
    for block in points.split(CHUNK):
        best = torch.addmm(norms, block, centroids.T, alpha=-2).min(1)
        codes.append(best.indices)
        errors.append(best.values + (block * block).sum(1))
    return torch.cat(codes), torch.cat(errors).clamp_(min=0)


def totals(points: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sum the points of each code: (n, d), (n,) → (K, d), (K,).

    A product with the one-hot matrix rather than a scattered addition, which is not reproducible on a GPU.
    """
    sums = torch.zeros((size, points.shape[1]), device=points.device)
    counts = torch.zeros(size, device=points.device)
    for block, chosen in zip(points.split(CHUNK), codes.split(CHUNK), strict=True):
        hot = torch.nn.functional.one_hot(chosen, size).to(block.dtype)
        sums += hot.T @ block
        counts += hot.sum(0)
    return sums, counts
