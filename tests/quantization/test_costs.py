"""What codes cost, by tensors on the device and by a tokenizer: the same numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from tests.conftest import clustered

from semantic_ids.compute import threads
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import TokenizerCosts, unique_codes
from semantic_ids.quantization.costs import TensorCosts
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.unique import unique_by

SIZES, ITEMS = (6, 5, 9), 260


class Given(ResidualTokenizer):
    """A tokenizer that takes vectors as they are and has codebooks that it is given."""

    kind, options_class = "given", RQKMeansOptions

    def _fit(self, vectors, rows, monitor_rows, assign):
        return self.given


@pytest.fixture(scope="module")
def vectors():
    x = clustered(ITEMS, 7, seed=2)
    x[40:60] = x[40]
    return x


@pytest.fixture(scope="module")
def quantizer(vectors):
    generator = torch.Generator().manual_seed(1)
    return ResidualQuantizer(
        [
            torch.from_numpy(vectors[:size]) * 0.5**level
            + 0.01 * torch.randn(size, 7, generator=generator)
            for level, size in enumerate(SIZES)
        ]
    )


@pytest.fixture(scope="module")
def both(vectors, quantizer):
    """Costs by tensors, and by a tokenizer of which they are the latent vectors."""
    as_it_is = {"normalize": False, "center": False, "scale": False}
    tokenizer = Given(SIZES, device="cpu", preprocess=as_it_is)
    tokenizer.given = quantizer
    tokenizer.fit(vectors)
    on_device = TensorCosts(torch.from_numpy(vectors), quantizer, vector_hash(vectors))
    return on_device, TokenizerCosts(tokenizer, vectors)


ROWS = [np.arange(ITEMS), np.array([3]), np.array([7, 7, 200, 1]), np.array([], dtype=np.int64)]


@pytest.mark.parametrize("rows", ROWS, ids=["all", "one", "in any order", "none"])
@pytest.mark.parametrize("chunk", [37, 2048])
def test_the_bits_are_those_of_a_tokenizer(both, vectors, quantizer, monkeypatch, rows, chunk):
    monkeypatch.setattr(threads, "WORKER_ROWS", chunk)
    tensors, tokenizer = both
    assert tensors.sizes == tokenizer.sizes == SIZES
    codes = quantizer.encode(torch.from_numpy(vectors), 5).numpy().astype(np.int32)[rows]
    excluded = np.array([0, 4, 17, 29])
    for ask in (
        lambda costs: costs.level_costs(rows, codes[:, :-1]),
        lambda costs: costs.distortion(rows, codes),
        lambda costs: costs.candidates(rows, 4, excluded)[0],
        lambda costs: costs.candidates(rows, 4, excluded)[1],
        lambda costs: costs.candidates(rows, 40, excluded[:0])[1],
        lambda costs: costs.likeness(rows),
    ):
        np.testing.assert_array_equal(ask(tensors), ask(tokenizer))


def test_costs_are_squared_errors(both, vectors, quantizer):
    rows = np.array([5, 0, 99])
    books = [c.double().numpy() for c in quantizer.codebooks]
    codes = np.array([[1, 2, 3], [0, 4, 8], [5, 0, 0]])
    rest = vectors[rows] - books[0][codes[:, 0]] - books[1][codes[:, 1]]
    expected = ((rest[:, None] - books[2][None]) ** 2).sum(2)
    np.testing.assert_allclose(both[0].level_costs(rows, codes[:, :-1]), expected, rtol=1e-4)
    own = expected[np.arange(3), codes[:, 2]]
    np.testing.assert_allclose(both[0].distortion(rows, codes), own, rtol=1e-4)


def test_unique_codes_of_rows_of_the_vectors(both, vectors, quantizer):
    """The latent vectors are those of some rows, and so are the hashes."""
    rows = np.arange(10, 150, 2)
    z = torch.from_numpy(vectors[rows])
    codes = quantizer.encode(z, 5)
    assign = partial(unique_codes, candidates=4)
    found = unique_by(assign, vectors, rows)(z, quantizer, codes)
    assert found.dtype == torch.int64
    expected = assign(
        codes.numpy().astype(np.int32), TokenizerCosts(both[1].tokenizer, vectors[rows])
    )
    np.testing.assert_array_equal(found.numpy(), expected)
    assert len(np.unique(expected, axis=0)) == len(rows) > len(np.unique(codes, axis=0))
