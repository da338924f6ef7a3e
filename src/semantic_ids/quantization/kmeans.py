"""k-means in torch: what codebooks start from.

Needs nothing but torch, on CPU or GPU, and no more memory than the points take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from semantic_ids.arrays import one_thread
from semantic_ids.compute.threads import chunk_rows, each_chunk
from semantic_ids.compute.topk import first_argmin

GROWTH_STEPS = 10
"""Steps in which the progressive start goes from one dimension to all."""


Cluster = Callable[[Tensor, int, torch.Generator, int, Tensor | None], Tensor]
"""A k-means: points (n, d), K, generator, iterations, start (K, d) or None → (K, d)."""


def kmeans(
    points: Tensor,
    size: int,
    generator: torch.Generator,
    iterations: int = 20,
    start: Tensor | None = None,
) -> Tensor:
    """Lloyd's algorithm; an empty cluster moves to the point that is worst represented.

    Args:
        points: Shape (n, d), float32.
        size: Number of centroids K; where there are fewer points, some centroids are copies of
            points.
        generator: CPU generator of the random start.
        iterations: Lloyd iterations.
        start: Centroids to start from, shape (K, d); random points if None.

    Returns:
        Shape (K, d), on the device of the points.
    """
    centroids = random_points(points, size, generator) if start is None else start.clone()
    for _ in range(iterations):
        codes, errors = nearest(points, centroids)
        sums, counts = totals(points, codes, size)
        filled = counts > 0
        centroids[filled] = sums[filled] / counts[filled, None]
        empty = torch.nonzero(~filled).flatten()[: len(points)]
        if len(empty):
            centroids[empty] = points[errors.topk(len(empty)).indices]
    return centroids


def random_points(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw different points to start from: (n, d) → (K, d).

    Where there are fewer, each as often as it takes.
    """
    order = torch.randperm(len(points), generator=generator).to(points.device)
    return points[order[torch.arange(size, device=points.device) % len(points)]].clone()


def spread_points(points: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Draw points far from each other: k-means++ (D. Arthur and S. Vassilvitskii, SODA 2007).

    (n, d) → (K, d).

    Each next point is drawn with a probability in proportion to its squared distance to the nearest
    of those drawn before.
    """
    draws = torch.rand(size, generator=generator, dtype=torch.float64)
    norms = (points * points).sum(1)
    chosen = [int(draws[0] * len(points))]
    distances = torch.full_like(norms, torch.inf)
    for draw in draws[1:]:
        last = points[chosen[-1]]
        distances = torch.minimum(
            distances, (norms - 2 * (points @ last) + norms[chosen[-1]]).clamp_(min=0)
        )
        distances[chosen[-1]] = 0
        reached = (
            distances.double().cpu().cumsum(0)
        )  # a GPU adds them up in another order each time
        chosen.append(
            min(int(torch.searchsorted(reached, draw * reached[-1], right=True)), len(points) - 1)
        )
    return points[torch.tensor(chosen).to(points.device)].clone()


def progressive(
    points: Tensor,
    size: int,
    generator: torch.Generator,
    iterations: int,
    cluster: Cluster = kmeans,
) -> Tensor:
    """k-means in more and more dimensions, each time from the centroids found before.

    (n, d) → (K, d).

    The first dimensions should be those of most variance: clusters that tell them apart are found
    where there is little else to follow. (The progressive start of FAISS's residual quantiser,
    after M. Douze et al., arXiv:2401.08281.)
    """
    dim = points.shape[1]
    centroids = points.new_zeros((size, 0))
    for width in sorted(
        {round(dim ** (step / GROWTH_STEPS)) for step in range(1, GROWTH_STEPS + 1)}
    ):
        part = points[:, :width].contiguous()
        start = None
        if centroids.shape[1]:
            start = torch.nn.functional.pad(centroids, (0, width - centroids.shape[1]))
        centroids = cluster(part, size, generator, iterations, start)
    return centroids


def residual_kmeans(
    z: Tensor, sizes: Sequence[int], cluster: Callable[[Tensor, int], Tensor]
) -> list[Tensor]:
    """Cluster level by level what the levels before left over: (n, d) → codebooks (K_l, d)."""
    rest, codebooks = z, []
    for size in sizes:
        codebooks.append(cluster(rest, size))
        rest = rest - codebooks[-1][nearest(rest, codebooks[-1])[0]]
    return codebooks


def nearest(points: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Return each point's nearest centroid and the squared distance to it.

    (n, d), (K, d) → (n,), (n,).
    """
    norms = (centroids * centroids).sum(1)
    codes = torch.empty(len(points), dtype=torch.int64, device=points.device)
    errors = torch.empty(len(points), device=points.device)

    def work(part: slice) -> None:
        block = points[part]
        distances = torch.addmm(norms, block, centroids.T, alpha=-2)
        codes[part] = first_argmin(distances)
        errors[part] = distances.gather(1, codes[part, None])[:, 0] + (block * block).sum(1)

    each_chunk(work, len(points), points.device, len(centroids))
    return codes, errors.clamp_(min=0)


def totals(points: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Sum the points of each code: (n, d), (n,) → (K, d), (K,), in the order of the points.

    On a GPU the sums are products with the one-hot matrix: a scattered addition is not reproducible
    there.
    """
    sums, counts = torch.zeros((size, points.shape[1]), device=points.device), uses(codes, size)
    if points.device.type == "cpu":
        with one_thread():
            return sums.index_add_(0, codes, points), counts
    return _add_products(sums, points, codes), counts


def uses(codes: Tensor, size: int) -> Tensor:
    """Count how often each code is used: (n,) → (K,) float32."""
    if codes.is_cuda:  # where bincount would wait for the largest code; sums of ones are exact
        counts = torch.zeros(size, device=codes.device)
        return counts.scatter_add_(0, codes, torch.ones_like(codes, dtype=counts.dtype))
    with one_thread():
        return torch.bincount(codes, minlength=size).float()


def _add_products(sums: Tensor, points: Tensor, codes: Tensor) -> Tensor:
    """Add the points of each code to its sum, in place, by products with the one-hot matrix."""
    numbers = torch.arange(len(sums), device=points.device)[:, None]
    rows = chunk_rows(points.device, len(sums))
    for block, chosen in zip(points.split(rows), codes.split(rows), strict=True):
        sums.addmm_((chosen == numbers).to(block.dtype), block)
    return sums
