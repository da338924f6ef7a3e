"""FAISS as a peer: k-means level by level, and its own residual quantiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.systems import Encode, Fitted, System, Unsupported, given, layer_by_layer


class FaissKMeans(System):
    """faiss.Kmeans on the residuals of the levels before, encoded greedily by a flat index."""

    name, title, package, modules = (
        "faiss_kmeans",
        "faiss.Kmeans, layer by layer",
        "faiss-cpu",
        ("faiss",),
    )

    def choose(self, quick: bool) -> dict[str, Any]:
        """FAISS's own defaults."""
        return {"niter": 25, "max_points_per_centroid": 256}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Fit level by level."""
        return layer_by_layer(vectors, codebook_sizes, seed, self._level)

    def _level(self, rest: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, Encode]:
        import faiss

        kmeans = faiss.Kmeans(rest.shape[1], size, seed=seed, **self.settings)
        kmeans.train(rest)
        return np.asarray(kmeans.centroids), lambda x: kmeans.assign(x)[1]


class FaissResidual(System):
    """faiss.ResidualQuantizer: grows the dimensions along the principal axes, then level by level
    with a beam.
    """

    name, title, package, modules = (
        "faiss_rq",
        "FAISS ResidualQuantizer, beam 1",
        "faiss-cpu",
        ("faiss",),
    )
    beam, train = 1, "Train_progressive_dim"

    def choose(self, quick: bool) -> dict[str, Any]:
        """Set `use_beam_LUT` for encoding alone, where it is the faster way to the same codes."""
        return {"train_type": self.train, "max_beam_size": self.beam, "use_beam_LUT": 1}

    def fit(self, vectors: np.ndarray, codebook_sizes: Sequence[int], seed: int) -> Fitted:
        """Train, and take the codebooks out."""
        import faiss

        bits = [int(math.log2(size)) for size in codebook_sizes]
        if any(2**b != size for b, size in zip(bits, codebook_sizes, strict=True)):
            raise Unsupported("codebook sizes must be powers of two")
        widths = faiss.UInt64Vector()
        faiss.copy_array_to_vector(np.array(bits, dtype=np.uint64), widths)
        quantizer: Any = faiss.ResidualQuantizer(vectors.shape[1], widths)  # type: ignore[call-overload,unused-ignore]
        quantizer.train_type = sum(
            getattr(quantizer, part.strip()) for part in self.settings["train_type"].split("|")
        )
        quantizer.max_beam_size, quantizer.cp.seed = self.settings["max_beam_size"], seed
        quantizer.train(vectors)
        quantizer.use_beam_LUT = self.settings["use_beam_LUT"]
        stacked = faiss.vector_to_array(quantizer.codebooks).reshape(-1, vectors.shape[1])
        codebooks = np.split(stacked[: sum(codebook_sizes)], np.cumsum(codebook_sizes)[:-1])
        return given(codebooks, partial(_unpacked, quantizer, bits), partial(_decoded, quantizer))


def _unpacked(quantizer: Any, bits: list[int], vectors: np.ndarray) -> np.ndarray:
    """Encode, and unpack the codes, which FAISS writes bit by bit."""
    import faiss

    return faiss.unpack_bitstrings(
        quantizer.compute_codes(np.ascontiguousarray(vectors)), np.array(bits, dtype=np.int32)
    ).astype(np.int32)


def _decoded(quantizer: Any, codes: np.ndarray) -> np.ndarray:
    import faiss

    packed = np.empty((len(codes), quantizer.code_size), dtype=np.uint8)
    codes = np.ascontiguousarray(codes, dtype=np.int32)
    quantizer.pack_codes(len(codes), faiss.swig_ptr(codes), faiss.swig_ptr(packed))
    return quantizer.decode(packed)


class FaissRefined(FaissResidual):
    """The same with a wider beam, and all codebooks refined together afterwards."""

    name, title = "faiss_rq_refined", "FAISS ResidualQuantizer, beam 5, codebooks refined"
    beam, train = 5, "Train_progressive_dim | Train_refine_codebook"
