"""What common writers make of ids and vectors: read where the meaning is certain."""

from __future__ import annotations

import logging
import uuid
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource
from semantic_ids.ingestion.bits import look_packed
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.stream import open_stream

F32 = pa.float32()
ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
UUIDS = [uuid.UUID(int=number) for number in (1, 2, 3)]


def fixed(rows: list, dim: int = 2) -> pa.Array:
    return pa.array(rows, pa.list_(F32, dim))


def source_of(folder: Path, *tables: pa.Table) -> ParquetSource:
    folder.mkdir(exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
    return ParquetSource(str(folder))


def read(source: ParquetSource, ids="ItemID", vectors="embedding", **options) -> dict:
    stream, _ = open_stream(source, IngestOptions(ids, vectors, **options))
    found = {}
    for rows in stream.batches():
        texts = stream.item_ids.take(pa.array(rows.positions)).to_pylist()
        found |= dict(zip(texts, rows.vectors.tolist(), strict=True))
    assert len(found) == len(stream)
    return found


def refused(source: ParquetSource, ids="ItemID", vectors="embedding", **options) -> str:
    with pytest.raises(BadInput) as caught:
        read(source, ids, vectors, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tensor(shape: list[int], rows: list) -> pa.Array:
    kind = pa.fixed_shape_tensor(F32, shape)
    return pa.ExtensionArray.from_storage(kind, fixed(rows, kind.storage_type.list_size))


@pytest.mark.parametrize(
    "vectors",
    [
        tensor([2], ROWS),
        tensor([1, 2], ROWS),
        pa.array(ROWS, pa.list_view(F32)),
        pa.array(ROWS, pa.large_list_view(F32)),
        pa.array(ROWS, pa.list_(pa.float16())),
        pa.ListArray.from_arrays([0, 2, 4, 6], pa.array(np.arange(1.0, 7)).dictionary_encode()),
    ],
    ids=["tensor", "tensor (1, D)", "list_view", "large_list_view", "half", "dictionary"],
)
def test_vectors_of_every_layout(tmp_path, vectors) -> None:
    source = source_of(tmp_path / "in", pa.table({"ItemID": [1, 2, 3], "embedding": vectors}))
    assert read(source) == dict(zip([1, 2, 3], ROWS, strict=True))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(["a", "b", "c"], pa.string_view()), ["a", "b", "c"]),
        (pa.array([b"a", b"\xc3\xa4", b"c"]), ["a", "ä", "c"]),
        (pa.array([b"a", b"b", b"c"], pa.binary_view()), ["a", "b", "c"]),
        (pa.array([b"a", b"b", b"c"], pa.large_binary()), ["a", "b", "c"]),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([u.bytes for u in UUIDS], pa.binary(16))
            ),
            [str(u) for u in UUIDS],
        ),
        (pa.array([Decimal(1), Decimal(-2), Decimal(2**63 - 1)]), [1, -2, 2**63 - 1]),
        (pa.array([Decimal(1), Decimal(2), Decimal(3)], pa.decimal256(50, 0)), [1, 2, 3]),
        (pa.array([7, 8, 9]).dictionary_encode(), [7, 8, 9]),
    ],
    ids=["view", "bytes", "bytes view", "large bytes", "uuid", "decimal", "decimal256", "dict"],
)
def test_ids_of_every_layout(tmp_path, ids, expected) -> None:
    source = source_of(tmp_path / "in", pa.table({"ItemID": ids, "embedding": fixed(ROWS)}))
    assert read(source) == dict(zip(expected, ROWS, strict=True))


def test_a_decimal_beyond_64_bits_is_named(tmp_path) -> None:
    ids = pa.array([Decimal(1), Decimal(2**63), None])
    source = source_of(tmp_path / "in", pa.table({"ItemID": ids, "embedding": fixed(ROWS)}))
    with pytest.raises(BadInput, match="the item id is null"):
        read(source)
    assert list(read(source, on_invalid="drop")) == [1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ItemID": pa.array([b"\xff\xfe"] * 3)}, "an item id is no text"),
        ({"ItemID": pa.array([b"0" * 16] * 3, pa.binary(16))}, "integers of 128 bits"),
        ({"ItemID": pa.array([Decimal("1.5")] * 3)}, "cast it to int64, or to strings"),
        ({"ItemID": pa.array([1.0, 2.0, 3.0])}, "cast it to int64"),
        ({"embedding": pa.array([np.float32([1, 2]).tobytes()] * 3)}, "numpy.frombuffer"),
        ({"embedding": pa.array([b"01234567"] * 3, pa.binary(8))}, "numpy.frombuffer"),
        ({"embedding": pa.array(["[1, 2]"] * 3)}, "json.loads(x)"),
        ({"embedding": tensor([2, 2], [[1.0] * 4] * 3)}, "shape=[2,2]]>; expected"),
        ({"embedding": pa.array([[[1.0]]] * 3)}, "numpy.concatenate(x)"),
        ({"embedding": pa.array([["1"]] * 3)}, "cast the values to float32"),
        ({"embedding": pa.array([{"v": [1.0]}] * 3)}, "ingest.vector_column=embedding.v"),
        (
            {"embedding": pa.array([{"type": 1, "size": None, "values": [1.0]}] * 3)},
            "ingest.vector_column=embedding.values",
        ),
    ],
)
def test_other_types_say_how_to_cast(tmp_path, columns, said) -> None:
    table = pa.table({"ItemID": [1, 2, 3], "embedding": fixed(ROWS)} | columns)
    message = refused(source_of(tmp_path / "in", table))
    assert said in message
    assert "corrupt" not in message


def test_fields_of_structs_are_named_with_dots(tmp_path) -> None:
    inner = pa.StructArray.from_arrays([fixed(ROWS)], names=["v"])
    item = pa.StructArray.from_arrays([pa.array([1, 2, 3]), inner], names=["id", "of"])
    source = source_of(tmp_path / "in", pa.table({"item": item, "plain.id": [4, 5, 6]}))
    assert read(source, "item.id", "item.of.v") == dict(zip([1, 2, 3], ROWS, strict=True))
    assert set(read(source, "plain.id", "item.of.v")) == {4, 5, 6}
    message = refused(source)
    assert "ingest.id_column=plain.id" in message
    assert "the columns are 'item', 'plain.id'" in message
    assert "'item.of.w' is missing" in refused(source, "item.id", "item.of.w")


def test_a_null_struct_is_a_null_vector(tmp_path) -> None:
    kind = pa.struct([("id", pa.int64()), ("v", pa.list_(F32, 2))])
    item = pa.array([{"id": 1, "v": ROWS[0]}, None, {"id": 3, "v": ROWS[2]}], kind)
    source = source_of(tmp_path / "in", pa.table({"item": item, "key": [1, 2, 3]}))
    assert "item id 2: the vector is null" in refused(source, "key", "item.v")
    assert "the item id is null" in refused(source, "item.id", "item.v")
    assert set(read(source, "item.id", "item.v", on_invalid="drop")) == {1, 3}


def test_a_null_in_a_fixed_size_list_is_a_null_vector(tmp_path) -> None:
    table = pa.table({"ItemID": [1, 2, 3], "embedding": fixed([ROWS[0], None, ROWS[2]])})
    source = source_of(tmp_path / "in", table)
    assert "row 1: item id 2: the vector is null" in refused(source)
    assert read(source, on_invalid="drop") == {1: ROWS[0], 3: ROWS[2]}


NOTHING = pa.schema([("ItemID", pa.null()), ("embedding", pa.null())])


@pytest.mark.parametrize(
    "empty",
    [
        NOTHING.empty_table(),
        pa.table({"other": pa.array([], pa.int64())}),
        pa.table({"ItemID": pa.array([], F32), "embedding": pa.array([], pa.string())}),
    ],
    ids=["types unknown", "other columns", "other types"],
)
def test_a_part_without_rows_is_of_no_account(tmp_path, empty) -> None:
    full = pa.table({"ItemID": [1, 2, 3], "embedding": fixed(ROWS)})
    for options in ({}, {"on_invalid": "drop"}):
        for tables in ((empty, full), (full, empty)):
            assert len(read(source_of(tmp_path / "in", *tables), **options)) == 3
    pq.write_table(empty, tmp_path / "in" / "0.parquet")
    pq.write_table(empty, tmp_path / "in" / "1.parquet")
    assert "there are no rows" in refused(ParquetSource(str(tmp_path / "in")))


@pytest.mark.parametrize(
    "vectors",
    [
        pa.nulls(2),
        pa.nulls(2, pa.float64()),
        pa.nulls(2, pa.string()),
        pa.nulls(2, pa.int32()),
        pa.array([None, None], pa.list_(pa.null())),
        pa.array([None, None], pa.list_(F32, 2)),
    ],
    ids=str,
)
@pytest.mark.parametrize("text", [False, True])
def test_a_part_whose_vectors_are_all_null(tmp_path, vectors, text) -> None:
    ids = ["1", "2", "3", "4", "5"] if text else [1, 2, 3, 4, 5]
    full = pa.table({"ItemID": ids[:3], "embedding": fixed(ROWS)})
    null = pa.table({"ItemID": ids[3:], "embedding": vectors})
    for tables in ((null, full), (full, null)):
        source = source_of(tmp_path / "in", *tables)
        assert set(read(source, on_invalid="drop")) == set(ids[:3])
        assert "item id 4: the vector is null" in refused(source)
    null = pa.table({"ItemID": pa.nulls(2), "embedding": vectors})
    source = source_of(tmp_path / "in", null, full)
    assert set(read(source, on_invalid="drop")) == set(ids[:3])
    assert "the item id is null" in refused(source)


def test_a_part_with_a_value_of_another_type_is_refused(tmp_path) -> None:
    full = pa.table({"ItemID": [1, 2, 3], "embedding": fixed(ROWS)})
    other = pa.table({"ItemID": [4, 5], "embedding": pa.array([None, 1.0])})
    assert "1.parquet: column 'embedding' is of type double" in refused(
        source_of(tmp_path / "in", full, other), on_invalid="drop"
    )


def packed(kind: str) -> np.ndarray:
    """Signs of correlated dimensions, packed as `ubinary` and `binary` embeddings are."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(64, 16)) @ rng.normal(size=(16, 384)) / 4 + rng.normal(size=384) / 4
    found = np.packbits(vectors > 0, axis=1)
    return found if kind == "uint8" else (found.astype(np.int16) - 128).astype(np.int8)


def quantised(kind: str, spread: float, centre: float = 0.0) -> np.ndarray:
    """Vectors rounded to eight bits."""
    values = np.random.default_rng(1).normal(centre, spread, size=(64, 384))
    low = 128 if kind == "uint8" else 0
    return np.clip(values + low, -128 + low, 127 + low).astype(kind)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_packed_bits_are_told_from_numbers(tmp_path, caplog, kind) -> None:
    assert look_packed(packed(kind))
    for spread in (3, 20, 45, 60):
        assert not look_packed(quantised(kind, spread))
    assert not look_packed(np.abs(quantised("int8", 30)).astype(kind))
    assert not look_packed(np.random.default_rng(0).integers(0, 2, (64, 384)).astype(kind))
    for values, said in ((packed(kind), 1), (quantised(kind, 30), 0)):
        caplog.clear()
        vectors = pa.array(values.tolist(), pa.list_(pa.from_numpy_dtype(values.dtype)))
        source = source_of(tmp_path / "in", pa.table({"ItemID": range(64), "embedding": vectors}))
        with caplog.at_level(logging.WARNING):
            assert len(read(source)) == 64
        assert len(caplog.records) == said
        assert "numpy.unpackbits" in caplog.text or not said
