from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource
from semantic_ids.ingestion.check import check_footers
from semantic_ids.ingestion.options import IngestOptions

NUMBERS = [
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.int8(),
    pa.uint8(),
    pa.int32(),
    pa.int64(),
    pa.uint64(),
]


def source_of(tmp_path, table: pa.Table, name: str = "a.parquet") -> ParquetSource:
    pq.write_table(table, tmp_path / name)
    return ParquetSource(str(tmp_path))


def refused(source: ParquetSource, **options) -> str:
    with pytest.raises(BadInput) as caught:
        check_footers(
            source,
            IngestOptions(**{"id_column": "ItemID", "vector_column": "embedding", **options}),
        )
    return str(caught.value)


@pytest.mark.parametrize("number", NUMBERS, ids=str)
@pytest.mark.parametrize(
    "container",
    [pa.list_, pa.large_list, lambda t: pa.list_(t, 2)],
    ids=["list", "large_list", "fixed_size_list"],
)
@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.string(),
        pa.large_string(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_every_layout_is_taken(tmp_path, number, container, kind) -> None:
    ids = (
        pa.array([1, 2]).cast(pa.string()).cast(kind)
        if kind != pa.int8()
        else pa.array([1, 2], kind)
    )
    table = pa.table(
        {
            "ItemID": ids,
            "embedding": pa.array([[1, 2], [3, 4]], container(pa.float32())).cast(
                container(number)
            ),
        }
    )
    check_footers(source_of(tmp_path, table), IngestOptions("ItemID", "embedding"))


def test_missing_column_names_those_there_are(tmp_path) -> None:
    message = refused(
        source_of(tmp_path, pa.table({"item_id": [1], "embeding": [[1.0]], "title": ["x"]}))
    )
    assert (
        "a.parquet: column 'ItemID' is missing; the columns are 'item_id', 'embeding', 'title'"
        in message
    )
    assert "ingest.id_column=item_id" in message
    message = refused(ParquetSource(str(tmp_path)), id_column="item_id")
    assert "column 'embedding' is missing" in message
    assert "the nearest is 'embeding'" in message
    assert "ingest.vector_column=embeding" in message


def test_missing_column_of_another_name_is_guessed_by_type(tmp_path) -> None:
    message = refused(source_of(tmp_path, pa.table({"ItemID": [1], "price": [1.0], "v": [[1.0]]})))
    assert "ingest.vector_column=v" in message


def test_column_twice(tmp_path) -> None:
    table = pa.Table.from_arrays(
        [pa.array([1]), pa.array([2]), pa.array([[1.0]])], names=["ItemID", "ItemID", "embedding"]
    )
    assert "column 'ItemID' is there 2 times" in refused(source_of(tmp_path, table))


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        (
            "ItemID",
            pa.array([1.0]),
            "column 'ItemID' is of type double; expected integers or strings",
        ),
        ("ItemID", pa.array([[1]]), "column 'ItemID' is of type list"),
        ("embedding", pa.array([1.0]), "column 'embedding' is of type double; expected list"),
        ("embedding", pa.array([["a"]]), "column 'embedding' is of type list<element: string>"),
        ("embedding", pa.array([None], pa.null()), "column 'embedding' is of type null"),
        ("embedding", pa.array([[True]]), "column 'embedding' is of type list<element: bool>"),
    ],
)
def test_wrong_types(tmp_path, column, values, found) -> None:
    table = pa.table({"ItemID": pa.array([1]), "embedding": pa.array([[1.0]])} | {column: values})
    message = refused(source_of(tmp_path, table))
    assert found in message
    assert "a.parquet" in message


def test_no_rows(tmp_path) -> None:
    table = pa.table(
        {"ItemID": pa.array([], pa.int64()), "embedding": pa.array([], pa.list_(pa.float32()))}
    )
    assert "there are no rows" in refused(source_of(tmp_path, table))


def test_an_empty_file_among_others_is_no_error(tmp_path) -> None:
    table = pa.table({"ItemID": [1], "embedding": [[1.0]]})
    source_of(tmp_path, table.slice(0, 0), "a.parquet")
    check_footers(source_of(tmp_path, table, "b.parquet"), IngestOptions("ItemID", "embedding"))


def test_ids_of_two_kinds(tmp_path) -> None:
    source_of(tmp_path, pa.table({"ItemID": [1], "embedding": [[1.0]]}), "a.parquet")
    message = refused(
        source_of(tmp_path, pa.table({"ItemID": ["2"], "embedding": [[1.0]]}), "b.parquet")
    )
    assert "b.parquet: column 'ItemID' is string here, but int64 in" in message


@pytest.mark.parametrize(
    "container", [pa.list_, lambda t, n: pa.list_(t)], ids=["fixed_size_list", "list"]
)
def test_two_dimensions_in_two_files(tmp_path, container) -> None:
    for name, dim in (("a.parquet", 3), ("b.parquet", 5)):
        table = pa.table(
            {"ItemID": [dim], "embedding": pa.array([[0.5] * dim], container(pa.float32(), dim))}
        )
        source = source_of(tmp_path, table, name)
    message = refused(source)
    assert "b.parquet: the vectors have 5 dimensions, but 3 in" in message
    assert "a.parquet" in message
