"""Costs of rows are those of their vectors, however often they were read."""

from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.identifiers import TokenizerCosts, costs
from semantic_ids.tokenizers import fit_tokenizer


@pytest.fixture(scope="module")
def fitted():
    x = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    return x, fit_tokenizer(x, codebook_sizes=(4, 4, 8))


def test_rows_asked_for_again_are_not_read_again(fitted, monkeypatch):
    x, tokenizer = fitted
    read = []

    def counted(array, rows):
        read.append(len(rows))
        return np.array(array[rows])

    monkeypatch.setattr(costs, "read_rows", counted)
    oracle, rows = TokenizerCosts(tokenizer, x), np.array([5, 9, 300])
    codes = tokenizer.encode(x[rows])
    oracle.candidates(rows, 2, np.array([0]))
    first = oracle.level_costs(rows, codes[:, :-1])
    assert read == [3]
    rows[0] = 7  # the caller's array is its own
    second = oracle.level_costs(rows, codes[:, :-1])
    assert read == [3, 3]
    np.testing.assert_array_equal(first[1:], second[1:])
    for found, number in ((first, 5), (second, 7)):
        expected = [
            ((x[number].astype(np.float64) - tokenizer.decode(code[None])[0]) ** 2).sum()
            for code in np.column_stack([np.tile(codes[0, :-1], (8, 1)), np.arange(8)])
        ]
        scale = tokenizer.preprocessing.scale**2
        np.testing.assert_allclose(found[0] * scale, expected, rtol=1e-4)
