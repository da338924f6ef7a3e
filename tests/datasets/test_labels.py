from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids.datasets.labels import LabelsDataset
from semantic_ids.errors import BadInput


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
        picture=[b"1", b"2"],
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
