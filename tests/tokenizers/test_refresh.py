"""Codebooks that move for codes that stay: against least squares by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from semantic_ids.tokenizers.refresh import move_codebooks
from tests.conftest import clustered
from tests.tokenizers.conftest import PREPROCESS, SIZES, VARIANTS, fitted

NONE = np.full((1, len(SIZES)), -1, dtype=np.int32)


def latents(tokenizer, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        prepared = tokenizer.preprocessing.apply(torch.from_numpy(x.copy()))
        return tokenizer._to_latent(prepared).double().numpy()


def least_error(z: np.ndarray, codes: np.ndarray, ridge: float) -> float:
    """The least of Σ‖z − Σ_l c_l‖² + ridge·Σ‖c‖², over all codebooks."""
    hot = np.concatenate([np.eye(k)[codes[:, i]] for i, k in enumerate(SIZES)], axis=1)
    best = np.linalg.solve(hot.T @ hot + ridge * np.eye(sum(SIZES)), hot.T @ z)
    return float(((z - hot @ best) ** 2).sum() + ridge * (best**2).sum())


def loss(tokenizer, z: np.ndarray, codes: np.ndarray) -> float:
    books = [book.double().numpy() for book in tokenizer.quantizer.codebooks]
    rest = z - sum(book[codes[:, level]] for level, book in enumerate(books))
    ridge = tokenizer.codebook_options.ridge
    return float((rest**2).sum() + ridge * sum((book**2).sum() for book in books))


@pytest.mark.parametrize("preprocess", PREPROCESS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_codebooks_fit_the_codes_that_are_given(vectors: np.ndarray, variant, preprocess) -> None:
    kind, options = variant
    tokenizer = fitted(kind, vectors[:400], preprocess=preprocess, options=options)
    rng = np.random.default_rng(1)
    codes = np.stack([rng.integers(0, k, len(vectors)) for k in SIZES], axis=1).astype(np.int32)
    codes[::2] = tokenizer.encode(vectors)[::2]
    z = latents(tokenizer, vectors)
    moved = move_codebooks(tokenizer, vectors, codes)
    before, after, least = (
        loss(tokenizer, z, codes),
        loss(moved, z, codes),
        least_error(z, codes, tokenizer.codebook_options.ridge),
    )
    assert least <= after < before
    assert after - least < 0.02 * (before - least)


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_but_the_codebooks_is_frozen(vectors: np.ndarray, variant) -> None:
    kind, options = variant
    tokenizer = fitted(kind, vectors[:400], options=options)
    content, codes = tokenizer.content, tokenizer.encode(vectors)
    moved = move_codebooks(tokenizer, vectors, codes)
    assert tokenizer.content == content != moved.content
    assert moved.config["fitted_rows"] == len(vectors)
    kept, made = tokenizer._tensors(), moved._tensors()
    assert {n for n in kept if not torch.equal(kept[n], made[n])} == {
        f"codebook.{level}" for level in (1, 2, 3)
    }


def test_a_code_without_items_stays_where_it_is(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors)
    codes = tokenizer.encode(vectors)
    codes[codes[:, 1] == 3, 1] = 2
    moved = move_codebooks(tokenizer, vectors, codes)
    before, after = tokenizer.quantizer.codebooks[1], moved.quantizer.codebooks[1]
    assert torch.equal(before[3], after[3]) and not torch.equal(before[2], after[2])


def test_items_without_an_id_choose_as_encode_does() -> None:
    """A cluster that is new: its items are nearer to the codebooks afterwards."""
    old, new = clustered(500, 12, seed=1), clustered(300, 12, seed=2, clusters=4)
    tokenizer = fitted("rq_kmeans", old)
    x = np.concatenate([old, new])
    given = np.concatenate([tokenizer.encode(old), np.repeat(NONE, len(new), axis=0)])
    moved = move_codebooks(tokenizer, x, given)
    before, after = (
        float(one.distortion(new, one.encode(new)).sum()) for one in (tokenizer, moved)
    )
    assert after < 0.9 * before
    errors = moved.history.series("relative_mse")[1]
    assert len(errors) > 1 and errors[-1] < errors[0]


def test_prices_stay(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors, options={"balance": 1.3})
    moved = move_codebooks(tokenizer, vectors, np.repeat(NONE, len(vectors), axis=0))
    for before, after in zip(tokenizer.quantizer.prices, moved.quantizer.prices, strict=True):
        assert torch.equal(before, after)


def test_no_more_items_are_read_than_for_a_fit(vectors: np.ndarray) -> None:
    tokenizer = fitted("rq_kmeans", vectors, options={"max_points_per_centroid": 50})
    codes, other = tokenizer.encode(vectors), vectors.copy()
    other[400:] += 5
    moved = [move_codebooks(tokenizer, x, codes) for x in (vectors, other)]
    assert moved[0].report["rows"] == 400  # 50 times the largest codebook
    assert moved[0].content == moved[1].content
    some = np.arange(1, 700, 2)
    of_some = move_codebooks(tokenizer, vectors, codes, some)
    alone = move_codebooks(tokenizer, vectors[some], codes[some])
    assert of_some.content == alone.content and of_some.report["rows"] == 350


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_the_same_with_more_threads(vectors: np.ndarray, kind: str) -> None:
    tokenizer = fitted(kind, vectors[:400])
    codes = np.where(np.arange(len(vectors))[:, None] < 400, tokenizer.encode(vectors), NONE)
    threads, contents = torch.get_num_threads(), set()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            contents.add(move_codebooks(tokenizer, vectors, codes).content)
    finally:
        torch.set_num_threads(threads)
    assert len(contents) == 1
