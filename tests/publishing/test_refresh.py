"""Refreshed tokenizers, and what they change, measured on the items."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash, mix
from semantic_ids.identifiers import TokenizerCosts, unique_codes
from semantic_ids.publishing import refresh
from semantic_ids.publishing.churn import shares
from semantic_ids.publishing.relabel import relabel
from semantic_ids.tokenizers import fit_tokenizer
from tests.conftest import ROOT
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


@pytest.mark.slow
def test_warm_keeps_the_prefixes_of_the_sample() -> None:
    """Nine tenths of the sample are published, then all of it is there: of the published items,
    99 % would still be encoded to the same codes, and to the same prefixes all the more."""
    table = pq.read_table(ROOT / "data/01_raw/item_emb.parquet")
    hashes = item_hash(table["ItemID"].to_pylist())
    order = np.argsort(hashes)
    vectors = np.stack(table["embedding"].to_numpy())[order].astype(np.float32)
    new = mix(hashes[order] + np.uint64(1)) < np.uint64(0.1 * 2.0**64)
    old = vectors[~new]
    assign = partial(unique_codes, candidates=8)
    tokenizer = fit_tokenizer(old, assign=assign, device="cpu")
    codes = tokenizer.encode(old)
    published = np.full((len(vectors), 3), -1, dtype=np.int32)
    published[~new] = unique_codes(codes, TokenizerCosts(tokenizer, old), candidates=8)
    moved = refresh.warm(tokenizer, vectors, published)
    found = shares(codes, moved.encode(old))
    assert all(found[f"prefix.{length}"] >= 0.99 for length in (1, 2, 3))
    newcomers = vectors[new]
    before, after = (
        one.distortion(newcomers, one.encode(newcomers)).sum() for one in (tokenizer, moved)
    )
    assert after < 0.95 * before
