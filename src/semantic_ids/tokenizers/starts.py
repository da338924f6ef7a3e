"""What residual k-means starts from: a sample along its principal axes, and its first codebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks
from semantic_ids.quantization.faiss_kmeans import faiss_kmeans
from semantic_ids.quantization.kmeans import Cluster, kmeans, nearest, progressive, spread_points
from semantic_ids.quantization.refinement import Round
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.preprocessing import principal_axes

EARLY_VARIANCE = 0.95
"""Annealing and the first rounds of refinement work on the principal axes that hold this share of
the variance: the others decide hardly any code, and cost as much."""
AXES_ROWS = 1 << 15
"""Rows that the principal axes are taken from: nothing depends on them but which axes come
first."""
LEAST_INIT_ROWS_A_CODE = 32
"""The codebooks start from at least so many items a code, where there are as many."""


def along_axes(sample: Tensor) -> tuple[Tensor, Tensor, int]:
    """Turn the sample, in place, to the axes of its first rows.

    Return it, the axes (W, W), and how many hold `EARLY_VARIANCE`.
    """
    products = np.zeros((sample.shape[1], sample.shape[1]))
    for part in chunks(min(len(sample), AXES_ROWS)):
        products += (sample[part].T @ sample[part]).double().cpu().numpy()
    variances, found = principal_axes(products)
    axes = torch.from_numpy(found.astype(np.float32)).to(sample.device)
    for part in chunks(len(sample)):
        sample[part] = sample[part] @ axes
    shares = np.cumsum(variances) / max(float(variances.sum()), 1e-30)
    return sample, axes, int(np.searchsorted(shares, EARLY_VARIANCE) + 1)


def start_rows(wanted: int, sizes: Sequence[int]) -> int:
    """Return on how many rows codebooks start, where there are as many: those wanted (`init_rows`),
    more for large codebooks.
    """
    return max(wanted, LEAST_INIT_ROWS_A_CODE * max(sizes))


def start_codebooks(
    sample: Tensor, sizes: Sequence[int], options: RQKMeansOptions, generator: torch.Generator
) -> Iterator[Round]:
    """Fit the codebooks level by level on a part of the sample.

    Of all restarts of a level the one with the least error is kept.
    """
    most = start_rows(options.init_rows, sizes)
    rest = sample[torch.randperm(len(sample), generator=generator)[:most].to(sample.device)]
    codebooks: list[Tensor] = []
    for size in sizes:
        found = [_cluster(rest, size, options, generator) for _ in range(options.restarts)]
        assigned = [nearest(rest, centroids) for centroids in found]
        errors = [float(distances.mean(dtype=torch.float64)) for _, distances in assigned]
        best = int(np.argmin(errors))
        codebooks = [*codebooks, found[best]]
        rest = rest - found[best][assigned[best][0]]
        yield Round(codebooks, errors[best], 0)


def _cluster(
    points: Tensor, size: int, options: RQKMeansOptions, generator: torch.Generator
) -> Tensor:
    """Run k-means from the start that is wanted, in the engine that is: (s, W) → (K, W)."""
    cluster: Cluster = faiss_kmeans if options.engine == "faiss" else kmeans
    iterations = options.iterations
    if options.init == "progressive":
        return progressive(points, size, generator, iterations, cluster)
    spread = options.init == "k-means++"
    start = spread_points(points, size, generator) if spread else None
    return cluster(points, size, generator, iterations, start)
