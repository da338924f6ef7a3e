from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.ingestion import ParquetSource

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("max_items", [None, 1, 10, 100])
def test_rows_are_in_the_order_of_their_item_hash(write, ingest, drain, text, max_items) -> None:
    ids = [f"item-{i}" for i in range(30)] if text else list(range(-10, 20))
    vectors = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    stream, rejected = ingest(write(ids, vectors), max_items=max_items)
    expected = np.argsort(item_hash(ids))[:max_items]
    assert stream.item_ids.to_pylist() == [ids[row] for row in expected]
    np.testing.assert_array_equal(stream.item_hashes, np.sort(item_hash(ids))[:max_items])
    np.testing.assert_array_equal(drain(stream), vectors[expected])
    assert rejected.num_rows == 0
    assert rejected.column_names == ["item_id", "file", "row_group", "row", "reason"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float64()),
        pa.large_list(pa.float16()),
        pa.list_(pa.int16(), 2),
        pa.list_(pa.float64(), 2),
    ],
    ids=str,
)
def test_vectors_are_cast_to_the_storage_type(write, ingest, drain, kind, dtype) -> None:
    stream, _ = ingest(write([1], [[3, -7]], kind), dtype=dtype)
    vectors = drain(stream)
    assert vectors.dtype == dtype
    np.testing.assert_array_equal(vectors, [[3, -7]])


def test_files_of_different_layouts_go_together(write, ingest, drain) -> None:
    write(pa.array([1], pa.int8()), [[1.0, 2.0]], pa.list_(pa.float16(), 2), "in/a.parquet")
    write(pa.array([2], pa.uint64()), [[3.0, 4.0]], pa.large_list(pa.float64()), "in/b.parquet")
    stream, _ = ingest(
        ParquetSource(
            str(Path(write([3], [[5, 6]], pa.list_(pa.int8()), "in/c.parquet").location).parent)
        )
    )
    assert dict(zip(stream.item_ids.to_pylist(), drain(stream).tolist(), strict=True)) == {
        1: [1, 2],
        2: [3, 4],
        3: [5, 6],
    }


@pytest.mark.parametrize(
    ("bad", "options", "reason"),
    [
        (None, {}, "the vector is null"),
        ([], {}, "the vector is empty"),
        ([1.0, 2.0, 3.0], {}, "the vector has 3 dimensions instead of 2"),
        ([1.0, None], {}, "a value in the vector is null"),
        ([NAN, 1.0], {}, "a value in the vector is NaN"),
        ([1.0, -INF], {}, "a value in the vector is infinite"),
        ([1e39, 1.0], {}, "too large for float32"),
        ([1e5, 1.0], {"dtype": "float16"}, "too large for float16"),
        ([1e-9, 0.0], {"dtype": "float16"}, "too small for float16"),
        ([0.0, -0.0], {"nonzero": True}, "the vector is zero"),
    ],
)
def test_an_invalid_vector_is_named(write, ingest, drain, bad, options, reason) -> None:
    vectors = [[1.0, 2.0]] * 10
    vectors[6] = bad
    source = write([f"id-{i}" for i in range(10)], vectors, pa.list_(pa.float64()))
    stream, _ = ingest(source, **options)
    with pytest.raises(BadInput, match=reason) as caught:
        drain(stream)
    message = str(caught.value)
    assert f"{source.location}, row group 1, row 6: item id id-6: " in message
    assert "ingest.on_invalid=drop" in message
    assert "\n" not in message


def test_zero_vectors_are_fine_where_nothing_is_normalised(write, ingest, drain) -> None:
    stream, _ = ingest(write([1], [[0.0, -0.0]]))
    np.testing.assert_array_equal(drain(stream), [[0.0, 0.0]])


def test_an_invalid_vector_is_found_beyond_max_items(write, ingest, drain) -> None:
    last = int(np.argmax(item_hash(range(10))))
    vectors = [[1.0]] * 10
    vectors[last] = [NAN]
    with pytest.raises(BadInput, match=f"item id {last}: "):
        drain(ingest(write(list(range(10)), vectors), max_items=2)[0])


@pytest.mark.parametrize("first", [None, []])
def test_an_invalid_first_vector_does_not_say_what_the_dimension_is(
    write, ingest, drain, first
) -> None:
    with pytest.raises(BadInput, match="row group 0, row 0: item id 1: the vector is "):
        drain(ingest(write([1, 2], [first, [1.0, 2.0]]))[0])


def test_null_ids_are_named(write, ingest) -> None:
    source = write([0, 1, 2, 3, None, None], [[1.0]] * 6)
    with pytest.raises(BadInput, match="the item id is null") as caught:
        ingest(source)
    assert f"{source.location}, row group 1, row 4: " in str(caught.value)
    assert "2 rows" in str(caught.value)


def test_ids_beyond_int64_are_named(write, ingest) -> None:
    with pytest.raises(
        BadInput, match=r"row group 0, row 1: the item id is larger than 2\*\*63 - 1"
    ):
        ingest(write(pa.array([1, 2**63 + 5], pa.uint64()), [[1.0]] * 2))


@pytest.mark.parametrize("ids", [[7, 1, 2, 3, 9, 7, 7, 9], list("h12349hh")])
def test_duplicate_ids_are_named(write, ingest, ids) -> None:
    source = write(ids, [[1.0]] * 8)
    with pytest.raises(BadInput, match=f"item id {ids[0]} is there 3 times") as caught:
        ingest(source)
    message = str(caught.value)
    assert f"{source.location}, row group 0, row 0: " in message
    assert f"again in {source.location}, row group 1, row {ids.index(ids[0], 1)}" in message


def test_memory_stays_small(write, ingest, drain, monkeypatch) -> None:
    """A row group is taken in pieces: no batch is larger than the size that is set."""
    monkeypatch.setattr("semantic_ids.ingestion.source.BATCH_BYTES", 1 << 14)
    vectors = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    stream, _ = ingest(write(list(range(5000)), vectors, group=5000))
    sizes = [rows.vectors.nbytes for rows in stream.batches()]
    assert max(sizes) <= 1 << 14
    assert sum(sizes) == vectors.nbytes
