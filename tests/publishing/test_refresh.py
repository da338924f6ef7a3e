"""Refreshed tokenizers, and what they change, measured on the items."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.publishing import refresh
from semantic_ids.publishing.relabel import relabel
from tests.tokenizers.conftest import AXES, SIZES, VARIANTS, fitted


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_errors_are_those_of_decoded_vectors(vectors, variant, normalize) -> None:
    kind, options = variant
    preprocess = {**AXES, "normalize": normalize}
    tokenizer = fitted(kind, vectors, preprocess=preprocess, options=options)
    rows = np.arange(3, 700, 5)
    codes = tokenizer.encode(vectors[rows])
    x = vectors[rows].astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize else x
    expected = ((x - tokenizer.decode(codes)) ** 2).sum(axis=1)
    assert refresh.errors(tokenizer, vectors, rows, codes) == pytest.approx(expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_warm_lowers_the_error_of_the_ids_that_are_out(vectors: np.ndarray, variant) -> None:
    kind, options = variant
    tokenizer = fitted(kind, vectors[:500], options=options)
    ids = np.full((len(vectors), len(SIZES)), -1, dtype=np.int32)
    ids[:600] = tokenizer.encode(vectors[:600])
    ids[::7, -1] = (ids[::7, -1] + 1) % SIZES[-1]  # as de-duplication moves items
    ids[600:] = -1
    moved = refresh.warm(tokenizer, vectors, ids)
    distortions = [one.distortion(vectors[:600], ids[:600]).sum() for one in (tokenizer, moved)]
    assert distortions[1] < distortions[0]
    assert moved.config["preprocess"] == tokenizer.config["preprocess"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_aligned_tokenizer_differs_in_names_alone(vectors: np.ndarray, variant) -> None:
    kind, options = variant
    old = fitted(kind, vectors, options=options)
    new = fitted(kind, vectors, options=options, sizes=(7, 5, 9), seed=4)
    found = refresh.aligned(old, new, vectors)
    before, after = new.encode(vectors), found.encode(vectors)
    assert found.decode(after) == pytest.approx(new.decode(before), abs=1e-5)
    codes = old.encode(vectors)
    same = [(one[:, 0] == codes[:, 0]).mean() for one in (before, after)]
    assert same[1] > same[0]
    shuffled = relabel(old, [np.random.default_rng(1).permutation(k) for k in SIZES])
    assert (refresh.aligned(old, shuffled, vectors).encode(vectors) == codes).all()


def test_vectors_of_another_width_are_refused(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors)
    for call in (
        lambda: refresh.warm(tokenizer, vectors[:, :5], tokenizer.encode(vectors)),
        lambda: refresh.aligned(tokenizer, tokenizer, vectors[:, :5]),
    ):
        with pytest.raises(BadInput, match="vectors of 5 dimensions for a tokenizer of 12"):
            call()
