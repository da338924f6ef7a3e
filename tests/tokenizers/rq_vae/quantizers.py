"""Quantisers to test, and what they are compared with in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import clustered
from tests.grouped import grouped

from semantic_ids.quantization.kmeans import kmeans, residual_kmeans
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.tokenizers.rq_vae.quantizer import TrainableResidualQuantizer

KINDS = ("end_to_end", "gradient", "ema")
PLAIN = {
    "quantizer": "end_to_end",
    "joint": True,
    "beam_size": 5,
    "gradient": "straight_through",
    "temperature": 1.0,
    "sampling": 0.0,
    "decay": 0.95,
    "smoothing": 1e-5,
    "reset_below": 0.0,
    "masking": 0.0,
    "sinkhorn": None,
}
JOINT = pytest.mark.parametrize("joint", [True, False], ids=["joint", "level_by_level"])


def make(sizes=(4, 3), dim=5, **changes):
    """A quantiser that has not started."""
    return TrainableResidualQuantizer(sizes, dim, RQVAEOptions.of(grouped({**PLAIN, **changes})))


def started(sizes=(4, 3), dim=5, n=200, **changes):
    """A quantiser whose codebooks are residual k-means, and the vectors they were made of."""
    z = torch.from_numpy(clustered(n, dim, seed=2))
    generator = torch.Generator().manual_seed(0)
    quantizer = make(sizes, dim, **changes)
    quantizer.start(
        z,
        n,
        lambda rows: residual_kmeans(rows, sizes, lambda rest, size: kmeans(rest, size, generator)),
    )
    quantizer.generator.manual_seed(1)
    return quantizer, z


def started_at(books, **changes):
    """A quantiser with codebooks as given; no code has been used."""
    quantizer = make([len(book) for book in books], books[0].shape[1], **changes)
    quantizer.start(torch.zeros(1, books[0].shape[1]), 0, lambda _: books)
    quantizer.generator.manual_seed(1)
    return quantizer


def randomly(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def in_numpy(quantizer):
    return [book.detach().numpy().astype(np.float64) for book in quantizer.codebooks]


def vectors_of(books, codes):
    """The vector of each level's code: (L, m, d)."""
    return np.stack([book[np.asarray(code)] for book, code in zip(books, codes.T, strict=True)])


def targets_of(z, vectors, joint):
    """What each level's code is to stand for: (L, m, d)."""
    if joint:
        return np.stack([z - vectors.sum(0) + vector for vector in vectors])
    return np.stack([z - vectors[:level].sum(0) for level in range(len(vectors))])


def greedy(z, books):
    """The nearest code level by level: (m, L)."""
    rest, codes = z.numpy().astype(np.float64), []
    for book in books:
        codes.append(((rest[:, None] - book[None]) ** 2).sum(-1).argmin(1))
        rest = rest - book[codes[-1]]
    return np.stack(codes, 1)


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def state_of(quantizer):
    return {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
