from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.metrics import reconstruction
from semantic_ids.metrics.reconstruction import Spread, added, reconstruct, relative_mse


def brute_relative_mse(x, decoded):
    mean = x.mean(axis=0)
    return sum(((a - b) ** 2).sum() for a, b in zip(x, decoded, strict=True)) / sum(
        ((a - mean) ** 2).sum() for a in x
    )


def brute_cosine(a, b):
    norms = np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())
    return (a * b).sum() / norms if norms else 0.0


def original(vectors, normalizes):
    x = vectors.astype(np.float64)
    return x / np.sqrt((x**2).sum(axis=1))[:, None] if normalizes else x


@pytest.fixture(params=[1024, 7], ids=["one chunk", "chunks of 7"])
def chunk_rows(request, monkeypatch):
    monkeypatch.setattr(reconstruction, "ROWS", request.param)


@pytest.mark.parametrize("given", [1.0, 0.6], ids=["fitted on all", "fitted on a part"])
@pytest.mark.parametrize("normalizes", [False, True])
@pytest.mark.usefixtures("chunk_rows")
def test_against_brute_force(make_catalogue, normalizes, given):
    embeddings, tokenizer, codes, ids = make_catalogue(normalizes=normalizes)
    x = original(embeddings.vectors, normalizes)
    decoded, unique = (
        tokenizer.decode(codes.codes).astype(float),
        tokenizer.decode(ids.codes).astype(float),
    )
    held_out = np.arange(len(x)) % 4 == 1
    fitted = ~held_out & (np.arange(len(x)) < given * len(x))
    found = reconstruct(embeddings.vectors, tokenizer, codes.codes, ids.codes, fitted, held_out)
    metrics = found.metrics()
    assert metrics.pop("reconstruction.space") == ("unit" if normalizes else "input")
    assert metrics == pytest.approx(
        {
            "reconstruction.relative_mse": brute_relative_mse(x, decoded),
            "reconstruction.relative_mse_fitted": brute_relative_mse(x[fitted], decoded[fitted]),
            "reconstruction.relative_mse_validation": brute_relative_mse(
                x[held_out], decoded[held_out]
            ),
            "reconstruction.relative_mse_unique": brute_relative_mse(x, unique),
            "reconstruction.cosine": np.mean(
                [brute_cosine(a, b) for a, b in zip(x, decoded, strict=True)]
            ),
        },
        rel=1e-10,
    )
    assert found.added_distortion == pytest.approx(
        ((x - unique) ** 2).sum() / ((x - decoded) ** 2).sum() - 1, rel=1e-10
    )


def test_nobody_held_out_has_no_validation_figure(make_catalogue):
    embeddings, tokenizer, codes, ids = make_catalogue()
    nobody = np.zeros(len(codes), bool)
    metrics = reconstruct(
        embeddings.vectors, tokenizer, codes.codes, ids.codes, ~nobody, nobody
    ).metrics()
    assert "reconstruction.relative_mse_validation" not in metrics
    assert metrics["reconstruction.relative_mse_fitted"] == metrics["reconstruction.relative_mse"]


@pytest.mark.usefixtures("chunk_rows")
@pytest.mark.parametrize("normalizes", [False, True])
def test_of_some_rows_with_another_tokenizer(make_catalogue, normalizes):
    embeddings, tokenizer, *_ = make_catalogue(normalizes=normalizes)
    rows = np.arange(2, len(embeddings), 3)
    x = embeddings.vectors[rows]
    expected = brute_relative_mse(
        original(x, normalizes), tokenizer.decode(tokenizer.encode(x)).astype(float)
    )
    assert relative_mse(embeddings.vectors, tokenizer, rows) == pytest.approx(expected, rel=1e-10)


def test_a_large_offset_does_no_harm_to_the_spread():
    rng = np.random.default_rng(0)
    near_zero = rng.integers(-8, 9, (500, 3)).astype(float)  # exact in float64, with the offset too
    x = near_zero + 2.0**40
    near = x[:50].mean(axis=0)
    spread = Spread(near)
    for start in range(0, 500, 60):
        spread.include(Spread.of(x[start : start + 60], near))
    assert spread.total == pytest.approx(
        ((near_zero - near_zero.mean(axis=0)) ** 2).sum(), rel=1e-12
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(2.0, 3.0, 0.5), (2.0, 2.0, 0.0), (0.0, 0.0, 0.0), (0.0, 1.0, np.inf)],
)
def test_added(before, after, expected):
    assert added(before, after) == expected
