from __future__ import annotations

import inspect
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids.datasets import HistorySourceDataset
from semantic_ids.errors import BadInput


def write(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"user": [1, 2], "sequence": [[1, 2, 3], [4] * 30]}), file)


def dataset(location: str, root: Path) -> HistorySourceDataset:
    return HistorySourceDataset(location, str(root), metadata={"kedro-viz": {"layer": "raw"}})


def cause(found: HistorySourceDataset) -> BadInput:
    with pytest.raises((BadInput, DatasetError)) as caught:
        found.load()
    error = caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__
    assert isinstance(error, BadInput)
    return error


def test_a_relative_location_starts_at_the_root(tmp_path):
    write(tmp_path / "in/sequences.parquet")
    for location in ("in/sequences.parquet", "in", "in/*.parquet", str(tmp_path / "in")):
        found = dataset(location, tmp_path)
        (files,) = found.load().parts.values()
        assert files.rows == 2 and found.exists()


def test_a_folder_of_three_files_is_three_parts(tmp_path):
    for part in ("train", "valid", "test"):
        write(tmp_path / f"in/{part}.parquet")
    found = dataset("in", tmp_path)
    assert list(found.load().parts) == ["train", "valid", "test"] and found.exists()
    (tmp_path / "in/valid.parquet").unlink()
    assert "there are train and test, but no valid" in str(cause(found)) and not found.exists()


def test_in_a_folder_with_a_file_of_that_name_only_it_counts(tmp_path):
    write(tmp_path / "in/sequences.parquet")
    write(tmp_path / "in/other.parquet")
    (files,) = dataset("in", tmp_path).load().parts.values()
    assert [Path(file).name for file in files.files] == ["sequences.parquet"]


def test_what_is_not_there_is_one_line(tmp_path):
    assert "histories=PATH" in str(cause(dataset("in/none.parquet", tmp_path)))
    assert not dataset("in/none.parquet", tmp_path).exists()


def test_none_means_that_there_are_none(tmp_path):
    found = dataset("none", tmp_path)
    assert "there are no histories" in str(cause(found)) and not found.exists()
    assert inspect.unwrap(type(found).preview)(found) == {"index": [], "columns": [], "data": []}


def test_the_preview_is_the_first_rows(tmp_path):
    write(tmp_path / "s.parquet")
    shown = dataset("s.parquet", tmp_path).preview(nrows=1)
    assert shown["columns"] == ["user", "sequence"] and len(shown["data"]) == 1


def test_it_is_only_read(tmp_path):
    with pytest.raises(DatasetError, match="only read"):
        dataset("s.parquet", tmp_path).save(object())
