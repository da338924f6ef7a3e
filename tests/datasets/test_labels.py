from __future__ import annotations

import json
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids.datasets.labels import LabelsDataset
from semantic_ids.errors import BadInput
from semantic_ids.metrics.labels import join


def write(path: Path, /, **columns) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def refused(dataset: LabelsDataset) -> str:
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, BadInput)
    return str(caught.value.__cause__)


@pytest.mark.parametrize("location", ["none", "None", "null"])
def test_no_labels(location, tmp_path) -> None:
    dataset = LabelsDataset(location, str(tmp_path))
    assert dataset.load() is None
    assert dataset.exists()
    assert dataset.preview()["data"] == []
    with pytest.raises(DatasetError, match="only read"):
        dataset.save("anything")


def test_scalar_columns_are_kept(tmp_path) -> None:
    write(
        tmp_path / "items.parquet",
        ItemID=[1, 2],
        word=["a", None],
        path=pa.array(["x", "y"]).dictionary_encode(),
        flag=[True, False],
        ids=[[1], [2]],
        picture=[b"\x89PNG", b"\x89PNG"],
        box=[{"w": 1}, {"w": 2}],
    )
    table = LabelsDataset("items.parquet", str(tmp_path)).load()
    assert table.column_names == ["ItemID", "word", "path", "flag"]
    assert table["word"].to_pylist() == ["a", None]


@pytest.mark.parametrize("location", ["in", "in/*.parquet", "file://{}/in"])
def test_folder_glob_and_url(tmp_path, location) -> None:
    write(tmp_path / "in" / "a.parquet", ItemID=pa.array([1], pa.int32()), word=["a"])
    write(tmp_path / "in" / "b.parquet", ItemID=pa.array([2], pa.int64()), word=["b"])
    table = LabelsDataset(location.format(tmp_path), str(tmp_path)).load()
    assert table.to_pydict() == {"ItemID": [1, 2], "word": ["a", "b"]}


def test_items_of_a_folder_with_everything(tmp_path) -> None:
    write(tmp_path / "item_emb.parquet", ItemID=[1], embedding=[[1.0]])
    write(tmp_path / "items.parquet", ItemID=[1], word=["a"])
    assert LabelsDataset(".", str(tmp_path)).load().column_names == ["ItemID", "word"]


def test_missing_file(tmp_path) -> None:
    write(tmp_path / "items.parquet", ItemID=[1])
    message = refused(LabelsDataset("item.parquet", str(tmp_path)))
    assert "there is no such file; the nearest is 'items.parquet'" in message
    assert "items=PATH" in message


def test_files_of_different_columns(tmp_path) -> None:
    write(tmp_path / "in" / "a.parquet", ItemID=[1], word=["a"])
    write(tmp_path / "in" / "b.parquet", ItemID=[1], wort=["b"])
    assert "b.parquet: column 'word' is missing" in refused(LabelsDataset("in", str(tmp_path)))


def test_files_of_different_types(tmp_path) -> None:
    write(tmp_path / "in" / "a.parquet", ItemID=[1])
    write(tmp_path / "in" / "b.parquet", ItemID=["1"])
    assert "of different types" in refused(LabelsDataset("in", str(tmp_path)))


def test_no_rows(tmp_path) -> None:
    write(
        tmp_path / "items.parquet",
        ItemID=pa.array([], pa.int64()),
        tags=pa.array([], pa.list_(pa.string())),
    )
    table = LabelsDataset("items.parquet", str(tmp_path)).load()
    assert (table.num_rows, table.column_names) == (0, ["ItemID"])


def test_preview(tmp_path) -> None:
    write(tmp_path / "items.parquet", ItemID=[1, 2, 3], word=["a", "b", "c"])
    preview = LabelsDataset("items.parquet", str(tmp_path)).preview(nrows=2)
    assert preview == {"index": [0, 1], "columns": ["ItemID", "word"], "data": [[1, "a"], [2, "b"]]}


def label(path: Path, name: str, items: list[int] | None = None) -> list:
    """Join the items file in a path to items, and return the numbers of one label."""
    table = LabelsDataset(path.name, str(path.parent)).load()
    ids = pa.array(items or [1, 2, 3, 4])
    rule = {"id_column": "ItemID", "max_values": 10, "min_share": 0.5}
    return join(ids, table, columns=[name], **rule)[name].tolist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.string_view(),
        pa.large_string(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.binary(),
        pa.binary_view(),
        pa.large_binary(),
    ],
    ids=str,
)
def test_text_of_every_layout_is_a_label_and_an_id(tmp_path, kind) -> None:
    text = pa.array(["x", "y", None, "x"]).cast(kind)
    ids = pa.array(["1", "2", "3", "4"]).cast(kind)
    write(tmp_path / "items.parquet", ItemID=ids, word=text)
    assert label(tmp_path / "items.parquet", "word") == [0, 1, -1, 0]


def test_uuids_and_decimals_are_ids(tmp_path) -> None:
    ids = pa.array([Decimal(n) for n in (1, 2, 3, 4)])
    write(tmp_path / "items.parquet", ItemID=ids, word=["x", "y", "x", "x"])
    assert label(tmp_path / "items.parquet", "word") == [0, 1, 0, 0]
    kind = pa.uuid()
    storage = pa.array([uuid.UUID(int=n).bytes for n in (1, 2)], pa.binary(16))
    write(tmp_path / "items.parquet", ItemID=pa.ExtensionArray.from_storage(kind, storage))
    table = LabelsDataset("items.parquet", str(tmp_path)).load()
    assert table["ItemID"].to_pylist()[0] == "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([["a"]] * 4), "is of type list<element: string>"),
        (pa.array([b"\xff"] * 4), "is of bytes that are no text"),
        (pa.array([b"x" * 1000] * 4), "is of type binary"),
        (pa.array([b"0123"] * 4, pa.binary(4)), "is of type fixed_size_binary[4]"),
        (pa.array([{"a": 1}] * 4), "is of type struct<a: int64>"),
    ],
)
@pytest.mark.parametrize("name", ["ItemID", "word"])
def test_columns_that_are_no_labels_say_why(tmp_path, column, said, name) -> None:
    columns = {"ItemID": pa.array([1, 2, 3, 4]), "word": pa.array(list("xyxx"))} | {name: column}
    write(tmp_path / "items.parquet", **columns)
    with pytest.raises(BadInput) as caught:
        label(tmp_path / "items.parquet", "word")
    assert f"column '{name}' of {tmp_path}/items.parquet {said}" in str(caught.value)


def test_a_column_twice_is_said_where_it_is_needed(tmp_path) -> None:
    columns = [pa.array([1, 2, 3, 4]), pa.array(list("xyxx")), pa.array(list("xyxx"))]
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_arrays([*columns, columns[1]], ["ItemID", "a", "a", "b"]), path)
    assert label(path, "b") == [0, 1, 0, 0]
    with pytest.raises(BadInput, match=r"column 'a' of .*items\.parquet is there 2 times"):
        label(path, "a")


def test_parts_without_rows_and_with_other_columns(tmp_path) -> None:
    folder = tmp_path / "in"
    write(folder / "0.parquet", ItemID=pa.nulls(0), word=pa.nulls(0), only=pa.nulls(0))
    write(folder / "1.parquet", ItemID=[1, 2], word=["x", "y"])
    write(folder / "2.parquet", ItemID=[3, 4], word=pa.nulls(2), more=["a", "b"])
    assert label(folder, "word") == [0, 1, -1, -1]
    with pytest.raises(BadInput, match=r"column 'more' of .* is missing in .*1\.parquet"):
        label(folder, "more")


def test_files_that_are_not_read_are_named(tmp_path, caplog) -> None:
    write(tmp_path / "in" / "a.parquet", ItemID=[1])
    write(tmp_path / "in" / "old" / "b.parquet", ItemID=[2])
    LabelsDataset("in", str(tmp_path)).load()
    assert "1 file in folders of" in caplog.text


def test_a_preview_shows_what_python_has_no_value_for(tmp_path) -> None:
    """Dates beyond the year 9999, numbers that JSON has not, bytes, values within lists."""
    date = pa.array([10**7, -(10**6), 1], pa.int32()).cast(pa.date32())
    write(
        tmp_path / "items.parquet",
        date=date,
        time=pa.array([2**62, 1, None]).cast(pa.timestamp("us")),
        zone=pa.array([2**61, 1, None]).cast(pa.timestamp("ms", "Europe/Paris")),
        number=[float("nan"), float("inf"), 1.5],
        picture=[b"123", b"", None],
        dates=pa.array([[10**7], [1], None], pa.list_(pa.int32())).cast(pa.list_(pa.date32())),
        box=[{"w": 1}, None, {"w": 2}],
        word=["x" * 1000, "", None],
    )
    preview = LabelsDataset("items.parquet", str(tmp_path)).preview(nrows=3)
    cells = dict(zip(preview["columns"], zip(*preview["data"], strict=True), strict=True))
    assert cells["date"] == ("29349-01-26", "-0768-02-04", "1970-01-02")
    assert cells["number"] == ("nan", "inf", 1.5)
    assert cells["picture"] == ("3 bytes", "0 bytes", None)
    assert cells["dates"][1:] == ("[1970-01-02]", None)
    assert len(cells["word"][0]) < 210
    json.dumps(preview, allow_nan=False)


def test_a_preview_of_a_repeated_column(tmp_path) -> None:
    path = tmp_path / "items.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], ["a", "a"]), path)
    preview = LabelsDataset("items.parquet", str(tmp_path)).preview()
    assert (preview["columns"], preview["data"]) == (["a", "a"], [[1, "x"]])
