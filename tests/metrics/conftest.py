"""A residual tokenizer of a few lines of numpy, and small catalogues with everything awkward in
them.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.contract import LinearDecoder
from semantic_ids.hashing import vector_hash


class NumpyTokenizer:
    """Implements what metrics ask of `contract.Tokenizer`."""

    kind = "numpy"
    preserves_distances = False
    fitted_rows = None

    def __init__(self, codebooks, normalizes=False):
        self.codebooks, self.normalizes = (
            [np.asarray(c, dtype=np.float32) for c in codebooks],
            normalizes,
        )
        self.codebook_sizes = tuple(len(c) for c in self.codebooks)
        self.dim = self.codebooks[0].shape[1]
        self.provenance = Provenance("tokenizer")

    def to(self, device):
        return self

    def _prepared(self, vectors):
        vectors = np.asarray(vectors, dtype=np.float32)
        return (
            vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if self.normalizes else vectors
        )

    def encode(self, vectors):
        rest, codes = self._prepared(vectors), []
        for codebook in self.codebooks:
            codes.append(((rest[:, None] - codebook) ** 2).sum(2).argmin(1))
            rest = rest - codebook[codes[-1]]
        return np.stack(codes, 1).astype(np.int32)

    def decode(self, codes):
        x = sum(
            (c[codes[:, level]] for level, c in enumerate(self.codebooks)),
            np.zeros((len(codes), self.dim), np.float32),
        )
        return x / np.linalg.norm(x, axis=1, keepdims=True) if self.normalizes else x

    def linear_decoder(self):
        return LinearDecoder(self.normalizes, np.zeros(self.dim, np.float32), None, self.codebooks)

    def distortion(self, vectors, codes):
        rest = self._prepared(vectors)
        for level in range(codes.shape[1]):
            rest = rest - self.codebooks[level][codes[:, level]]
        return (rest**2).sum(1)

    def level_costs(self, vectors, prefixes):
        rest = self._prepared(vectors)
        for level in range(prefixes.shape[1]):
            rest = rest - self.codebooks[level][prefixes[:, level]]
        return ((rest[:, None] - self.codebooks[-1]) ** 2).sum(2)


def embeddings_of(vectors):
    ids = pa.array(np.arange(len(vectors)) * 7 + 3)
    zero_rows = int((vectors == 0).all(axis=1).sum())
    return Embeddings(
        vectors, ids, vector_hash(vectors), zero_rows, Provenance("embeddings", content="x")
    )


def codes_of(codes, sizes, levels=None, artifact="codes"):
    codes = np.asarray(codes, dtype=np.int32)
    return Codes(
        pa.array(np.arange(len(codes))),
        codes,
        tuple(sizes),
        levels or codes.shape[1],
        Provenance(artifact),
    )


@pytest.fixture
def make_embeddings():
    return embeddings_of


@pytest.fixture
def make_codes():
    return codes_of


@pytest.fixture
def make_tokenizer():
    return NumpyTokenizer


@pytest.fixture
def make_catalogue():
    """Items with clusters, an offset, duplicates and (unless normalised) zero vectors, some of −0.

    IDs that differ here and there.
    """

    def make(n=90, dim=6, sizes=(4, 3, 5), seed=0, normalizes=False, suffix=False):
        rng = np.random.default_rng(seed)
        vectors = (
            rng.standard_normal((4, dim))[rng.integers(0, 4, n)]
            + 0.6 * rng.standard_normal((n, dim))
            + 0.5
        ).astype(np.float32)
        vectors[n // 2 :: 9] = vectors[1 % n]
        if not normalizes:
            vectors[3::11] = 0.0
            vectors[3::22, 0] = -0.0
        tokenizer = NumpyTokenizer(
            [rng.standard_normal((k, dim)) * 0.8**level for level, k in enumerate(sizes)],
            normalizes,
        )
        codes = tokenizer.encode(vectors)
        unique = codes.copy()
        moved = rng.random(n) < 0.3
        unique[moved, -1] = rng.integers(0, sizes[-1], moved.sum())
        spilled = moved & (rng.random(n) < 0.4)
        unique[spilled, 0] = (unique[spilled, 0] + 1) % sizes[0]
        ids = codes_of(unique, sizes, artifact="semantic_ids")
        if suffix:
            ids = codes_of(
                np.column_stack([codes, rng.integers(0, 3, n)]),
                (*sizes, 3),
                len(sizes),
                "semantic_ids",
            )
        return embeddings_of(vectors), tokenizer, codes_of(codes, sizes), ids

    return make
