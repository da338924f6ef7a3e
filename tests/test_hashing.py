from __future__ import annotations

import os
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.arrays import chunks, map_rows
from semantic_ids.hashing import fingerprint, hashes_of, item_hash, vector_hash

FLOATS = st.floats(width=16, allow_nan=False, allow_infinity=False)


@given(st.lists(st.integers(-(2**63), 2**64)))
def test_an_integer_and_its_decimal_string_hash_alike(ids) -> None:
    np.testing.assert_array_equal(item_hash(ids), item_hash([str(i) for i in ids]))


@given(st.lists(st.text(), max_size=5))
def test_item_hash_is_the_documented_one(ids) -> None:
    expected = [int.from_bytes(blake2b(i.encode(), digest_size=8).digest(), "little") for i in ids]
    assert item_hash(ids).tolist() == expected


def test_item_hash_is_spread() -> None:
    """The top bits of consecutive ids fill 256 bins evenly.

    Χ² of 255 degrees of freedom stays below its 1 − 1e−6 quantile.
    """
    counts = np.bincount((item_hash(range(100_000)) >> np.uint64(56)).astype(int), minlength=256)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 375


@given(
    st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=20),
    st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_equal_vectors_and_only_they_hash_alike(rows, dtype) -> None:
    vectors = np.array(rows, dtype)
    hashes = vector_hash(vectors)
    for a in range(len(rows)):
        for b in range(a):
            assert (hashes[a] == hashes[b]) == bool((vectors[a] == vectors[b]).all())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_minus_zero_is_zero(dtype) -> None:
    vectors = np.array(
        [[0.0, -0.0, 1.0], [-0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [-0.0, -0.0, -0.0]], dtype
    )
    hashes = vector_hash(vectors)
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[2] == hashes[3] == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_vector_hash_is_the_documented_sum(dtype) -> None:
    """The same in Python's unbounded integers."""
    vectors = np.random.default_rng(0).normal(size=(5, 6)).astype(dtype)
    multipliers = [
        2 * int(m) + 1
        for m in np.random.Generator(np.random.PCG64(0x5EED)).integers(0, 2**63, 6, dtype=np.uint64)
    ]
    words = vectors.view(np.uint16 if dtype == np.float16 else np.uint32).tolist()
    if dtype == np.float32:
        words = [[w ^ (w >> 16) for w in row] for row in words]
    for row, found in zip(words, vector_hash(vectors).tolist(), strict=True):
        h = sum(w * m for w, m in zip(row, multipliers, strict=True)) % 2**64
        h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        h = (h ^ (h >> 27)) * 0x94D049BB133111EB % 2**64
        assert found == h ^ (h >> 31)


def test_vector_hash_does_not_depend_on_how_many_rows_come_at_once() -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 300)).astype(np.float32)
    whole = vector_hash(vectors)
    np.testing.assert_array_equal(
        whole,
        np.concatenate([vector_hash(vectors[start : start + 77]) for start in range(0, 1000, 77)]),
    )
    np.testing.assert_array_equal(whole, vector_hash(np.asfortranarray(vectors)))


def test_vectors_of_signs_do_not_collide() -> None:
    """They differ in the highest bit of some words alone.

    Without folding, half of the hash's bits would be wasted, and some collide.
    """
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (200_000, 64))
    assert len(np.unique(vector_hash(signs))) == len(signs)


def test_no_vectors() -> None:
    assert vector_hash(np.zeros((0, 3), np.float32)).shape == (0,)
    assert item_hash([]).dtype == np.uint64


def test_fingerprint_tells_things_apart() -> None:
    array = np.arange(6)
    parts = [
        (1,),
        ("1",),
        (1, 2),
        ([1, 2],),
        (array,),
        (array.reshape(2, 3),),
        (array.astype(np.int32),),
        ({"a": 1, "b": 2},),
        ({"a": 1}, {"b": 2}),
    ]
    assert len({fingerprint(*part) for part in parts}) == len(parts)
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint(array.reshape(2, 3)) == fingerprint(np.asfortranarray(array.reshape(2, 3)))


def test_hashes_are_those_of_any_process() -> None:
    code = (
        "import numpy as np; from semantic_ids.hashing import *; print(item_hash(['a',"
        " 1]).tolist(), vector_hash(np.ones((1, 3), np.float32)).tolist(), fingerprint('x'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env=environment | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {
        f"{item_hash(['a', 1]).tolist()} {vector_hash(np.ones((1, 3), np.float32)).tolist()}"
        f" {fingerprint('x')}\n"
    }


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_of_a_memory_map_hash_as_they_are_stored(tmp_path, monkeypatch, dtype) -> None:
    vectors = np.random.default_rng(2).normal(size=(50, 6)).astype(dtype)
    np.save(tmp_path / "vectors.npy", vectors)
    monkeypatch.setattr("semantic_ids.hashing.chunks", lambda n: chunks(n, 7))
    mapped = map_rows(tmp_path / "vectors.npy")
    expected = vector_hash(vectors.astype(np.float32) if dtype == np.float64 else vectors)
    np.testing.assert_array_equal(hashes_of(mapped), expected)
    rows = np.array([49, 3, 3, 0])
    np.testing.assert_array_equal(hashes_of(mapped, rows), expected[rows])
    assert hashes_of(mapped, rows[:0]).shape == (0,)
