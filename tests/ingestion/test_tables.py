"""Folders that are tables of other formats: overwritten rows never count."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource

SCHEMA = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def part(table: Path, name: str, ids: list[int]) -> None:
    (table / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"ItemID": ids, "embedding": [[1.0, 2.0]] * len(ids)}), table / name)


def commit(table: Path, version: int, *actions: dict) -> None:
    """Write one commit of the log, as the protocol has it: a JSON object a line."""
    log = table / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{version:020d}.json").write_text("".join(f"{json.dumps(a)}\n" for a in actions))


def add(path: str, **more) -> dict:
    return {"add": {"path": quote(path), "size": 1, "dataChange": True, **more}}


def remove(path: str, **more) -> dict:
    return {"remove": {"path": quote(path), "dataChange": True, **more}}


def ids(place: object) -> list[int]:
    source = ParquetSource(str(place))
    return sorted(i for _, b in source.batches(["ItemID"]) for i in b.column(0).to_pylist())


def refused(place: object) -> str:
    with pytest.raises(BadInput) as caught:
        _ = ParquetSource(str(place)).files
    return str(caught.value)


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    """A table that was overwritten: 3 items, of which one partition has a name with a space."""
    table = tmp_path / "table"
    part(table, "old.parquet", [1, 2, 3])
    part(table, "new.parquet", [1, 2])
    part(table, "p=a b/new.parquet", [4])
    commit(table, 0, SCHEMA, {"metaData": {"configuration": {}}}, add("old.parquet"))
    commit(table, 1, remove("old.parquet"), add("new.parquet"), add("p=a b/new.parquet"))
    return table


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("", [1, 2, 4]),
        ("*.parquet", [1, 2]),
        ("**/*.parquet", [1, 2, 4]),
        ("p=a b", [4]),
        ("p=*", [4]),
        ("[on]*.parquet", [1, 2]),
    ],
)
def test_only_files_that_count_are_read(delta, place, expected) -> None:
    assert ids(delta / place) == expected


def test_a_table_in_memory_is_read_by_its_log(delta) -> None:
    import fsspec

    fsspec.filesystem("memory").put(str(delta), f"/tables{delta}", recursive=True)
    assert ids(f"memory://tables{delta}") == [1, 2, 4]
    assert ids(f"memory://tables{delta}/*.parquet") == [1, 2]


def test_a_glob_of_overwritten_files_is_refused(delta) -> None:
    assert "were overwritten or deleted" in refused(delta / "ol*.parquet")
    source = ParquetSource(str(delta / "old.parquet"))
    assert source.rows == 3
    assert "lies in the Delta table" in source.left_out[0]


def checkpoint(table: Path, version: int, paths: list[str], parts: int = 1) -> None:
    kind = pa.struct([("path", pa.string()), ("deletionVector", pa.struct([("offset", "int32")]))])
    for number in range(parts):
        name = f"{version:020d}.checkpoint"
        name += f".{number + 1:010d}.{parts:010d}" if parts > 1 else ""
        rows = [{"path": quote(path)} for path in paths[number::parts]]
        pq.write_table(
            pa.table({"add": pa.array([*rows, None], kind)}),
            table / "_delta_log" / f"{name}.parquet",
        )


@pytest.mark.parametrize("parts", [1, 2])
def test_the_log_begins_at_its_checkpoint(delta, parts) -> None:
    checkpoint(delta, 1, ["new.parquet", "p=a b/new.parquet"], parts)
    commit(delta, 2, remove("p=a b/new.parquet"))
    for version in (0, 1):
        (delta / "_delta_log" / f"{version:020d}.json").unlink()
    (delta / "_delta_log" / f"{2:020d}.crc").write_text("{}")
    assert ids(delta) == [1, 2]


def test_a_checkpoint_that_lacks_a_part_is_none(delta) -> None:
    checkpoint(delta, 1, ["new.parquet", "old.parquet"], 2)
    next((delta / "_delta_log").glob("*.0000000002.0000000002.parquet")).unlink()
    assert ids(delta) == [1, 2, 4]


VECTOR = {"deletionVector": {"storageType": "u", "pathOrInlineDv": "ab", "offset": 1}}


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ([remove("new.parquet"), add("new.parquet", **VECTOR)], "deletion vectors"),
        (
            [{"metaData": {"configuration": {"delta.columnMapping.mode": "name"}}}],
            "column mapping 'name'",
        ),
        ([{"protocol": {"readerFeatures": ["clusteredFiles"]}}], "the feature clusteredFiles"),
        ([remove("new.parquet"), remove("p=a b/new.parquet")], "it has no rows"),
    ],
)
def test_what_changes_the_meaning_of_the_files_is_refused(delta, actions, said) -> None:
    commit(delta, 2, *actions)
    message = refused(delta)
    assert said in message
    assert "deltalake" in message
    assert "\n" not in message


def test_a_deletion_vector_that_is_gone_is_none(delta) -> None:
    commit(delta, 2, remove("new.parquet"), add("new.parquet", **VECTOR))
    commit(delta, 3, add("new.parquet"), remove("new.parquet", **VECTOR))
    assert ids(delta) == [1, 2, 4]


@pytest.mark.parametrize("gone", [0, 1])
def test_a_log_with_a_gap_is_refused(delta, gone) -> None:
    commit(delta, 2, {"commitInfo": {}})
    (delta / "_delta_log" / f"{gone:020d}.json").unlink()
    assert "commits are missing" in refused(delta)


def test_a_checkpoint_of_version_two_is_refused(delta) -> None:
    name = f"{1:020d}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json"
    (delta / "_delta_log" / name).write_text("{}")
    assert "checkpoint is of version 2" in refused(delta)


@pytest.mark.parametrize(
    ("marker", "kind", "advice"),
    [
        ("metadata/00001-x.metadata.json", "Iceberg", "table.scan().to_arrow()"),
        (".hoodie/hoodie.properties", "Hudi", "spark.read.format('hudi')"),
        ("_versions/1.manifest", "Lance", "lance.dataset"),
    ],
)
def test_tables_that_are_not_read_say_how_to_write_them_out(tmp_path, marker, kind, advice) -> None:
    table = tmp_path / "warehouse" / "table"
    (table / marker).parent.mkdir(parents=True)
    (table / marker).touch()
    part(table, "data/a.parquet", [1])
    part(table, "data/b.parquet", [1])
    for place in ("", "data", "data/*.parquet", "**/*.parquet", ".."):
        message = refused(table / place)
        assert f"a table of the format {kind}" in message
        assert advice in message
    assert ids(table / "data" / "a.parquet") == [1]
