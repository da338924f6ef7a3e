from __future__ import annotations

import inspect
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids.datasets.parquet_source import ParquetSourceDataset, from_root


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("data/a.parquet", "/project/data/a.parquet"),
        ("data/*.parquet", "/project/data/*.parquet"),
        ("/abs/a.parquet", "/abs/a.parquet"),
        ("s3://bucket/a/*.parquet", "s3://bucket/a/*.parquet"),
        ("simplecache::s3://bucket/a", "simplecache::s3://bucket/a"),
        ("~/a.parquet", str(Path.home() / "a.parquet")),
    ],
)
def test_relative_locations_start_at_the_root(location, expected) -> None:
    assert from_root(location, "/project") == expected


def test_the_folder_of_a_project_is_no_pattern(tmp_path: Path) -> None:
    root = tmp_path / "a [1]"
    root.mkdir()
    for name in ("x.parquet", "y.parquet", "z [2].parquet"):
        pq.write_table(pa.table({"ItemID": [1], "embedding": [[1.0]]}), root / name)
    assert len(ParquetSourceDataset("*.parquet", str(root)).load().files) == 3
    assert len(ParquetSourceDataset("[xy].parquet", str(root)).load().files) == 2
    assert len(ParquetSourceDataset("z [2].parquet", str(root)).load().files) == 1


@pytest.fixture
def dataset(tmp_path: Path) -> ParquetSourceDataset:
    table = pa.table({"ItemID": range(9), "embedding": [[float(i)] * 20 for i in range(9)]})
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in" / "a.parquet")
    return ParquetSourceDataset("in", str(tmp_path), metadata={"kedro-viz": {"layer": "raw"}})


def test_load(dataset, tmp_path) -> None:
    assert dataset.load().location == str(tmp_path / "in")
    assert dataset.load().rows == 9
    assert dataset.exists()
    assert dataset.metadata == {"kedro-viz": {"layer": "raw"}}
    assert not ParquetSourceDataset("absent", str(tmp_path)).exists()


def test_save_is_refused(dataset) -> None:
    with pytest.raises(DatasetError, match="only read"):
        dataset.save("anything")


def test_preview(dataset) -> None:
    preview = dataset.preview(nrows=2)
    assert preview["columns"] == ["ItemID", "embedding"]
    assert [row[0] for row in preview["data"]] == [0, 1]
    assert len(preview["data"][1][1]) < 200
    json.dumps(preview)
    assert inspect.signature(dataset.preview).return_annotation == "TablePreview"
