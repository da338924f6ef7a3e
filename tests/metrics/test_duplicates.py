from __future__ import annotations

import numpy as np
import pytest

from semantic_ids.hashing import vector_hash
from semantic_ids.metrics.duplicates import Duplicates, equal_vectors, exact_rate


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    "hashed",
    [vector_hash, lambda vectors: np.zeros(len(vectors), dtype=np.uint64)],
    ids=["hashes", "all hashes collide"],
)
def test_against_comparing_all_pairs(dtype, hashed):
    rng = np.random.default_rng(3)
    vectors = rng.integers(-1, 2, (70, 3)).astype(dtype)
    vectors[::2] *= -1  # brings −0
    same = equal_vectors(vectors, hashed(vectors))
    pairs = (vectors[:, None] == vectors[None]).all(axis=2)  # −0 == 0
    assert ((same.of_row[:, None] == same.of_row[None]) == pairs).all()
    assert exact_rate(same) == (pairs.sum(axis=1) > 1).mean()


def test_nearly_equal_is_not_equal():
    vectors = np.ones((3, 4), dtype=np.float32)
    vectors[1, 2] = np.nextafter(np.float32(1), np.float32(2))
    assert exact_rate(equal_vectors(vectors, vector_hash(vectors))) == pytest.approx(2 / 3)


def test_no_duplicates_reads_nothing(monkeypatch):
    monkeypatch.setattr("semantic_ids.metrics.duplicates.read_rows", lambda *_: pytest.fail("read"))
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert exact_rate(equal_vectors(vectors, vector_hash(vectors))) == 0.0


def test_what_is_said_of_them():
    vectors = np.zeros((9, 2), dtype=np.float32)
    vectors[:, 0] = [3, 1, 1, 4, 1, 5, 3, 2, 6]
    found = Duplicates.of(equal_vectors(vectors, vector_hash(vectors)))
    assert found == Duplicates(items=5, share=5 / 9, groups=2, largest=3)
    assert found.in_words().startswith(
        "5 items (55.56 %) have a vector that another item has too (groups: 2, items of the"
        " largest: 3)"
    )
    alone = Duplicates.of(equal_vectors(vectors[3:6], vector_hash(vectors[3:6])))
    assert (
        alone == Duplicates(0, 0.0, 0, 1)
        and alone.in_words() == "no two items have the very same vector"
    )
