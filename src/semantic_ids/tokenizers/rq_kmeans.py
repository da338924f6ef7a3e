"""Residual k-means: level l clusters what levels 1 … l−1 left over.

Fitted level by level with `faiss.Kmeans` on a sample that is bounded by `max_points_per_centroid`; encoded by our own tables, so that only
the fit needs faiss.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import CHUNK_ROWS, chunks, read_rows
from semantic_ids.progress import Progress
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.kinds import require_faiss
from semantic_ids.tokenizers.residual import ResidualQuantizer


@dataclass(frozen=True)
class RQKMeansOptions:
    """Described in `parameters.RQKMeansParameters`; the defaults are those of `conf/base`."""

    iterations: int = 25
    restarts: int = 1
    max_points_per_centroid: int = 256
    threads: int = 2


class RQKMeans(ResidualTokenizer):
    """Residual k-means in the space of the prepared vectors."""

    kind: ClassVar[str] = "rq_kmeans"
    options_class: ClassVar[type] = RQKMeansOptions

    def _fit(self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray) -> list[Tensor]:
        require_faiss()
        started = time.perf_counter()
        rows = rows[: max(self.codebook_sizes) * self.options.max_points_per_centroid]
        rest = self._sample(vectors, rows)
        variance = float(np.einsum("ij,ij->", rest, rest, dtype=np.float64))
        codebooks: list[Tensor] = []
        self.history = []
        with Progress("fit", len(self.codebook_sizes), "levels") as progress:
            for level, size in enumerate(self.codebook_sizes):
                centroids, steps = self._cluster(rest, size, self.seed + level)
                self.history += [
                    {"level": level + 1, **step, "objective": step["objective"] / variance if variance else 0.0} for step in steps
                ]
                codebooks.append(torch.from_numpy(centroids).to(self.device))
                self._subtract(rest, codebooks[-1])
                progress.advance()
        self.report = {"rows": len(rows), "seconds": time.perf_counter() - started}
        return codebooks

    def _sample(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Prepared vectors of the rows that are fitted on, in memory: (s, D) float32."""
        sample = np.empty((len(rows), self.dim), dtype=np.float32)
        for part in chunks(len(rows)):
            sample[part] = self._prepared(read_rows(vectors, rows[part])).cpu().numpy()
        return sample

    def _cluster(self, points: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Run k-means: centroids (size, D), and what each iteration of the last run came to."""
        import faiss

        kmeans = faiss.Kmeans(
            points.shape[1],
            size,
            niter=self.options.iterations,
            nredo=self.options.restarts,
            seed=seed,
            gpu=self.device.type == "cuda" and hasattr(faiss, "StandardGpuResources"),
            min_points_per_centroid=1,
            max_points_per_centroid=self.options.max_points_per_centroid,
        )
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(self.options.threads)
        try:
            kmeans.train(points)
        finally:
            faiss.omp_set_num_threads(threads)
        used = min(len(points), size * self.options.max_points_per_centroid)
        steps = [
            {
                "iteration": i % self.options.iterations + 1,
                "objective": float(s["obj"]) * len(points) / used,
                "imbalance": float(s["imbalance_factor"]),
            }
            for i, s in enumerate(kmeans.iteration_stats or [])
        ]
        return np.ascontiguousarray(kmeans.centroids, dtype=np.float32), steps

    def _subtract(self, points: np.ndarray, codebook: Tensor) -> None:
        """Replace each point by what its nearest code leaves over."""
        quantizer = ResidualQuantizer([codebook])
        for start in range(0, len(points), CHUNK_ROWS):
            block = torch.from_numpy(points[start : start + CHUNK_ROWS]).to(self.device)
            points[start : start + CHUNK_ROWS] = (block - codebook[quantizer.encode(block)[:, 0]]).cpu().numpy()
