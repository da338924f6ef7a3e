from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.metrics import neighbours
from semantic_ids.metrics.collisions import groups
from semantic_ids.metrics.duplicates import equal_vectors
from semantic_ids.metrics.neighbours import recall


def brute_neighbours(x, row, k):
    x = x.astype(float)
    scores = []
    for i, c in enumerate(x):
        norms = np.sqrt((x[row] * x[row]).sum()) * np.sqrt((c * c).sum())
        if i != row:
            scores.append((-((x[row] * c).sum() / norms if norms else 0.0), i))
    return {i for _, i in sorted(scores)[:k]}


def brute_recall(x, decoded, queries, k):
    rows = range(min(queries, len(x)))
    return np.mean(
        [len(brute_neighbours(x, row, k) & brute_neighbours(decoded, row, k)) / k for row in rows]
    )


def measured(embeddings, tokenizer, codes, queries):
    same_vector = equal_vectors(embeddings.vectors, embeddings.vector_hashes)
    return recall(embeddings.vectors, tokenizer, codes.codes, same_vector, groups(codes), queries)


@pytest.mark.parametrize("chunk", [8192, 5])
@pytest.mark.parametrize("queries", [1, 20, 90, 1000])
@pytest.mark.parametrize("normalizes", [False, True])
@pytest.mark.parametrize("linear", [False, True])
def test_against_brute_force_with_duplicates_and_zero_vectors(
    make_catalogue, monkeypatch, chunk, queries, normalizes, linear
):
    monkeypatch.setattr(neighbours, "ROWS", chunk)
    embeddings, tokenizer, codes, _ = make_catalogue(seed=2, sizes=(3, 3), normalizes=normalizes)
    if not linear:
        tokenizer.linear_decoder = lambda: None
    expected = brute_recall(embeddings.vectors, tokenizer.decode(codes.codes), queries, 10)
    assert measured(embeddings, tokenizer, codes, queries) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 12])
def test_few_items_take_all_the_others(make_catalogue, n):
    embeddings, tokenizer, codes, _ = make_catalogue(n=n)
    k = min(10, n - 1)
    expected = brute_recall(embeddings.vectors, tokenizer.decode(codes.codes), n, k)
    assert measured(embeddings, tokenizer, codes, 1000) == pytest.approx(expected)
    if n <= 11:
        assert expected == 1.0


def test_a_single_item_has_no_neighbours(make_catalogue):
    embeddings, tokenizer, codes, _ = make_catalogue(n=1)
    assert measured(embeddings, tokenizer, codes, 1000) is None


def test_a_lossless_tokenizer_keeps_every_neighbour(make_embeddings, make_tokenizer, make_codes):
    vectors = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    codes = make_codes(np.arange(50)[:, None], (50,))
    assert measured(make_embeddings(vectors), make_tokenizer([vectors]), codes, 50) == 1.0


def test_items_of_equal_codes_come_in_row_order(make_embeddings, make_tokenizer, make_codes):
    """Everything decodes to one vector.

    The decoded neighbours of a row are the first ten others.
    """
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 3)).astype(np.float32)
    tokenizer, codes = make_tokenizer([np.ones((1, 3))]), make_codes(np.zeros((40, 1)), (1,))
    first = [
        {i for i in range(11) if i != row} if row < 11 else set(range(10)) for row in range(40)
    ]
    expected = np.mean(
        [len(brute_neighbours(vectors, row, 10) & first[row]) / 10 for row in range(40)]
    )
    assert measured(make_embeddings(vectors), tokenizer, codes, 40) == pytest.approx(expected)
