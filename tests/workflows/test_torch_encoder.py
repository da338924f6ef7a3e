"""Torch behind the interface of the graphs."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids import RQKMeans
from semantic_ids.errors import BadInput
from semantic_ids.workflows.torch_encoder import load_torch_encoder
from tests.conftest import clustered


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a tokenizer of a wide beam, its folder, and vectors."""
    x = clustered(6000, 8)
    tokenizer = RQKMeans(
        codebook_sizes=(8, 8, 8), beam_size=6, device="cpu", anneal_rounds=1, refine_rounds=0
    ).fit(x[:500])
    folder = tmp_path_factory.mktemp("torch") / "tokenizer"
    tokenizer.save(folder)
    return tokenizer, folder, x


@pytest.mark.parametrize("threads", [1, 2])
def test_it_encodes_and_decodes_as_the_tokenizer(saved, threads):
    tokenizer, folder, x = saved
    encoder = load_torch_encoder(folder, threads)
    codes = encoder.encode(x)
    assert np.array_equal(codes, tokenizer.encode(x))
    assert np.array_equal(encoder.decode(codes), tokenizer.decode(codes))
    assert (encoder.backend, encoder.content) == ("torch", tokenizer.content)


def test_a_beam_of_one_takes_the_nearest_code_of_each_level(saved):
    tokenizer, folder, x = saved
    encoder = load_torch_encoder(folder, beam=1)
    rest = x[:200] - tokenizer.decode(np.zeros((1, 3), int)) * 0
    prepared = (x[:200] - tokenizer.preprocessing.mean.numpy()) / tokenizer.preprocessing.scale
    rest, expected = prepared.astype(np.float64), []
    for book in tokenizer.quantizer.codebooks:
        c = book.numpy().astype(np.float64)
        nearest = ((rest[:, None] - c[None]) ** 2).sum(2).argmin(1)
        rest = rest - c[nearest]
        expected.append(nearest)
    assert np.array_equal(encoder.encode(x[:200]), np.stack(expected, 1))
    assert encoder.content == tokenizer.content
    assert not np.array_equal(encoder.encode(x), tokenizer.encode(x))


def test_bad_rows_are_named_and_what_is_no_tokenizer_refused(saved, tmp_path):
    _, folder, x = saved
    bad = x.copy()
    bad[4321, 0] = np.nan
    with pytest.raises(BadInput, match="row 4321: it holds NaN"):
        load_torch_encoder(folder).encode(bad)
    with pytest.raises(BadInput, match="there is no tokenizer"):
        load_torch_encoder(tmp_path)
