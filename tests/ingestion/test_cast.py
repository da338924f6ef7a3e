"""Different vectors that become equal by the cast to the storage type are counted."""

from __future__ import annotations

import itertools
import json
import logging

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.datasets.embeddings import EmbeddingsDataset
from semantic_ids.hashing import vector_hash
from semantic_ids.ingestion import ParquetSource
from semantic_ids.ingestion.cast import cast_error, equal_by_cast, given_hashes


def count(given: np.ndarray, dtype: str) -> int:
    stored = given.astype(dtype) + np.dtype(dtype).type(0)
    hashes = vector_hash(stored)
    return equal_by_cast(hashes, given_hashes(given, stored, hashes))


def truth(given: np.ndarray, dtype: str) -> int:
    """The same, asked of whole vectors in plain Python."""
    inputs = {tuple(row) for row in given.tolist()}
    stored = {row: (np.array(row, given.dtype).astype(dtype) + 0).tobytes() for row in inputs}
    groups = [list(stored.values()).count(value) for value in stored.values()]
    return sum(size > 1 for size in groups)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "given",
    [
        2.0**24 + np.arange(64.0).reshape(32, 2) % 12,
        1e6 + np.random.default_rng(0).normal(size=(500, 1)) / 10,
        (2**60 + np.arange(64).reshape(32, 2) % 12).astype(np.int64),
        (2**24 + np.arange(64).reshape(32, 2) % 12).astype(np.int32),
        (2048 + np.arange(64).reshape(32, 2) % 12).astype(np.float32),
        np.array([[0.0], [-0.0], [1.0], [1.0 + 1e-12], [1.0 - 1e-12], [1.0]]),
        np.arange(64).reshape(32, 2).astype(np.uint8),
    ],
    ids=["float64", "noise", "int64", "int32", "float32", "around one", "uint8"],
)
def test_the_count_is_that_of_whole_vectors(given, dtype) -> None:
    with np.errstate(over="ignore"):
        kept = given[np.isfinite(given.astype(dtype)).all(axis=1)]
    assert count(kept, dtype) == truth(kept, dtype)


def test_equal_vectors_of_different_types_are_one_vector() -> None:
    """A file of float64 and one of integers may hold the same vector, which a cast changes."""
    value = 2**24 + 1
    hashes, given = [], []
    for kind in (np.float64, np.int64, np.int32, np.uint64):
        vectors = np.array([[value, 1]], kind)
        stored = vectors.astype(np.float32)
        hashes.append(vector_hash(stored))
        given.append(given_hashes(vectors, stored, hashes[-1]))
    assert equal_by_cast(np.concatenate(hashes), np.concatenate(given)) == 0


def test_a_type_that_holds_all_costs_nothing() -> None:
    vectors = np.ones((3, 2), np.float16)
    hashes = vector_hash(vectors.astype(np.float32))
    assert given_hashes(vectors, vectors.astype(np.float32), hashes) is hashes


@pytest.mark.parametrize("options", [{}, {"on_invalid": "drop"}], ids=["raise", "drop"])
def test_it_is_said_and_kept(write, ingest, tmp_path, caplog, options) -> None:
    base = 2.0**24
    rows = [[base, 0.0], [base + 1, 0.0], [base + 1, 0.0], [base + 4, 0.0], [base + 8, 0.0]]
    found = []
    for number, order in enumerate(itertools.islice(itertools.permutations(range(5)), 0, 120, 37)):
        name = f"{number}/a.parquet"
        write(list(order), [rows[row] for row in order], pa.list_(pa.float64()), name, group=2)
        stream, _ = ingest(ParquetSource(str(tmp_path / name)), **options)
        dataset = EmbeddingsDataset(str(tmp_path / "out" / str(number)))
        with caplog.at_level(logging.WARNING):
            dataset.save(stream)
        found.append((dataset._filepath / "manifest.json").read_bytes())
        assert dataset.load().equal_by_cast == 2
    assert len(set(found)) == 1
    assert json.loads(found[0])["equal_by_cast"] == 2
    assert "2 different vectors became equal to another when stored as float32" in caplog.text
    assert "Subtract the mean" in caplog.text


def test_nothing_is_said_of_the_users_own_duplicates(write, ingest, tmp_path, caplog) -> None:
    vectors = [[0.1, 2.0]] * 3 + [[0.3, 1e-12]] * 2
    stream, _ = ingest(write(list(range(5)), vectors, pa.list_(pa.float64())))
    dataset = EmbeddingsDataset(str(tmp_path / "out"))
    with caplog.at_level(logging.WARNING):
        dataset.save(stream)
    assert dataset.load().equal_by_cast == 0
    assert "became equal" not in caplog.text


def test_the_error_is_that_of_the_vectors() -> None:
    given = 1e6 + np.random.default_rng(0).normal(size=(60, 8)) / 10
    stored = given.astype(np.float32)
    valid = np.arange(60) % 3 > 0
    error = cast_error(given, stored, valid)
    kept = given[valid]
    assert error.squared == pytest.approx(((kept - stored[valid]) ** 2).sum())
    assert error.share == pytest.approx(error.squared / (kept.size * kept.var(axis=0).mean()))
    assert 0.01 < error.share < 0.1
    assert error.plus(error).share == pytest.approx(error.share)
    assert cast_error(given, stored, np.zeros(60, bool)).share == 0


@pytest.mark.parametrize(
    ("centre", "kind", "dtype", "said"),
    [
        (1e6, pa.float64(), "float32", True),
        (0, pa.float64(), "float32", False),
        (0, pa.float32(), "float16", False),
        (100, pa.float32(), "float16", True),
        (1e6, pa.float32(), "float32", False),
    ],
)
def test_a_cast_that_moves_vectors_far_is_said(
    write, ingest, tmp_path, caplog, centre, kind, dtype, said
) -> None:
    vectors = centre + np.random.default_rng(0).normal(size=(200, 8)) / 10
    column = pa.array(list(vectors), pa.list_(pa.float64())).cast(pa.list_(kind))
    stream, _ = ingest(write(list(range(200)), column, group=200), dtype=dtype)
    with caplog.at_level(logging.WARNING):
        EmbeddingsDataset(str(tmp_path / "out")).save(stream)
    assert (f"Storing the vectors as {dtype} moved them by" in caplog.text) == said
