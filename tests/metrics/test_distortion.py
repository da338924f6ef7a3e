from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.arrays import chunks
from semantic_ids.metrics import distortion
from semantic_ids.metrics.distortion import added_latent_distortion


@pytest.mark.parametrize("rows", [8192, 7])
def test_against_decoding(make_catalogue, monkeypatch, rows):
    """The fake tokenizer quantises in the space of its input, where the squared error can be had by
    decoding.
    """
    monkeypatch.setattr(distortion, "chunks", lambda n: chunks(n, rows))
    embeddings, tokenizer, codes, ids = make_catalogue(seed=4)
    x = embeddings.vectors.astype(float)
    before, after = (((x - tokenizer.decode(c.codes)) ** 2).sum() for c in (codes, ids))
    found = added_latent_distortion(embeddings.vectors, tokenizer, codes.codes, ids.codes)
    assert found == pytest.approx(after / before - 1, rel=1e-5)


def test_nobody_moved_costs_nothing_and_computes_nothing(make_catalogue):
    embeddings, tokenizer, codes, _ = make_catalogue()
    tokenizer.distortion = lambda *_: pytest.fail("computed")
    assert (
        added_latent_distortion(embeddings.vectors, tokenizer, codes.codes, codes.codes.copy())
        == 0.0
    )


def test_of_exactly_kept_vectors_the_price_is_infinite(make_tokenizer):
    tokenizer = make_tokenizer([np.eye(3)])
    vectors = np.eye(3, dtype=np.float32)
    assert (
        added_latent_distortion(
            vectors, tokenizer, np.array([[0], [1], [2]]), np.array([[0], [1], [1]])
        )
        == np.inf
    )
