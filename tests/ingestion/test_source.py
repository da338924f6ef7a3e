from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource


def write(path: Path, ids: list[int], group: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"ItemID": ids, "embedding": [[float(i), 0.5] for i in ids]}),
        path,
        row_group_size=group,
    )


def ids_of(source: ParquetSource) -> list[int]:
    return [i for _, batch in source.batches(["ItemID"]) for i in batch.column(0).to_pylist()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "in" / "b.parquet", [4, 5])
    write(tmp_path / "in" / "a.parquet", [1, 2, 3])
    write(tmp_path / "in" / "_skipped.parquet", [100])
    write(tmp_path / "in" / ".hidden.parquet", [101])
    (tmp_path / "in" / "notes.txt").write_text("not parquet")
    return tmp_path / "in"


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("a.parquet", [1, 2, 3]),
        ("", [1, 2, 3, 4, 5]),
        ("[ab].parquet", [1, 2, 3, 4, 5]),
        ("b*", [4, 5]),
        ("**/a.parquet", [1, 2, 3]),
    ],
)
@pytest.mark.parametrize("prefix", ["", "file://"])
def test_file_folder_and_glob(
    folder: Path, location: str, expected: list[int], prefix: str
) -> None:
    assert ids_of(ParquetSource(f"{prefix}{folder}/{location}".rstrip("/"))) == expected


def test_favourite_of_a_folder_stands_for_it(folder: Path) -> None:
    write(folder / "item_emb.parquet", [7])
    assert ids_of(ParquetSource(str(folder))) == [7]


def test_existing_path_with_glob_letters_is_a_path(tmp_path: Path) -> None:
    write(tmp_path / "a[1].parquet", [1])
    write(tmp_path / "a1.parquet", [2])
    assert ids_of(ParquetSource(str(tmp_path / "a[1].parquet"))) == [1]


@pytest.mark.parametrize(
    "location", ["memory://h1/a.parquet", "memory://h1", "memory://h1/*.parquet"]
)
def test_url(folder: Path, location: str) -> None:
    with fsspec.open("memory://h1/a.parquet", "wb") as file:
        file.write((folder / "a.parquet").read_bytes())
    source = ParquetSource(location)
    assert ids_of(source) == [1, 2, 3]
    assert source.head(2)["ItemID"].to_pylist() == [1, 2]
    assert source.exists()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("in/a.parket", "no such file; the nearest is 'a.parquet'"),
        ("nowhere/x.parquet", "no such file"),
        ("in/*.csv", "no file matches"),
        ("empty", "no parquet file in this folder"),
        ("memory://h1/absent.parquet", "no such file"),
        ("nosuchprotocol://x/y.parquet", "nosuchprotocol"),
    ],
)
def test_missing(folder: Path, location: str, message: str) -> None:
    (folder.parent / "empty").mkdir()
    source = ParquetSource(location if "://" in location else str(folder.parent / location))
    with pytest.raises(BadInput, match=message) as caught:
        _ = source.files
    assert location in str(caught.value)
    assert "embeddings=PATH" in str(caught.value)
    assert not source.exists()


def damage_nothing_but_footer(data: bytes) -> bytes:
    return data[:-6]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        damage_nothing_but_footer,
        lambda data: data[: len(data) // 2],
        lambda data: b"ItemID,embedding\n1,2\n" * 9,
    ],
)
def test_broken_footer(folder: Path, damage) -> None:
    path = folder / "a.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInput, match="not a whole parquet file") as caught:
        _ = ParquetSource(str(folder)).footers
    assert str(path) in str(caught.value)


def test_broken_row_group_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    table = pa.table({"ItemID": range(200), "embedding": list(rng.normal(size=(200, 8)))})
    pq.write_table(
        table,
        path,
        row_group_size=100,
        compression="zstd",
        use_dictionary=False,
        write_page_checksum=True,
    )
    second = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    at = second.data_page_offset + second.total_compressed_size // 2
    data[at : at + 50] = b"\xff" * 50
    path.write_bytes(data)
    with pytest.raises(
        BadInput, match=r"a\.parquet, row group 1: cannot be read, the file is corrupt"
    ):
        for _ in ParquetSource(str(path)).batches(["embedding"]):
            pass


def test_places(folder: Path) -> None:
    write(folder / "a.parquet", list(range(7)), group=3)
    source = ParquetSource(str(folder))
    places = [source.place(row) for row in range(source.rows)]
    assert [(Path(p.file).name, p.row_group, p.row) for p in places] == [
        *(("a.parquet", row // 3, row) for row in range(7)),
        ("b.parquet", 0, 0),
        ("b.parquet", 0, 1),
    ]


def test_batches_are_small_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semantic_ids.ingestion.source.BATCH_BYTES", 4 * 2 * 5)
    write(tmp_path / "a.parquet", list(range(103)), group=50)
    batches = list(ParquetSource(str(tmp_path)).batches(["embedding"]))
    assert max(len(columns) for _, columns in batches) <= 5
    assert [start for start, _ in batches] == list(
        np.cumsum([0, *(len(columns) for _, columns in batches)])
    )[:-1]
    assert [v[0] for _, columns in batches for v in columns.column(0).to_pylist()] == list(
        range(103)
    )


def test_names_with_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semantic_ids.ingestion.source.BATCH_BYTES", 100)
    pq.write_table(
        pa.table({"a": [0] * 40, "a.id": range(40), "a.vector": [[1.0, 2.0]] * 40}),
        tmp_path / "x.parquet",
    )
    batches = list(ParquetSource(str(tmp_path)).batches(["a.vector"]))
    assert len(batches) > 1
    assert all(columns.schema.names == ["a.vector"] for _, columns in batches)


def test_head_reads_little(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    vectors = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    pq.write_table(
        pa.table({"embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 64)}),
        path,
        compression="none",
        use_dictionary=False,
        data_page_size=1 << 16,
    )
    memory = fsspec.filesystem("memory")
    memory.pipe("/h1head/a.parquet", path.read_bytes())
    read = 0

    class Counting(type(memory.open("/h1head/a.parquet"))):
        def read(self, size: int = -1) -> bytes:
            nonlocal read
            data = super().read(size)
            read += len(data)
            return data

    memory.store["/h1head/a.parquet"].__class__ = Counting
    try:
        assert ParquetSource("memory://h1head/a.parquet").head(3).num_rows == 3
    finally:
        memory.rm("/h1head", recursive=True)
    assert 0 < read < 3_000_000 < path.stat().st_size


def test_head_of_no_rows(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [])
    assert ParquetSource(str(tmp_path)).head(3, ["ItemID"]).num_rows == 0


def test_importing_the_room_is_cheap() -> None:
    import subprocess
    import sys

    code = (
        "import sys, semantic_ids.ingestion; print([m for m in ('pyarrow', 'fsspec', 'kedro') if m"
        " in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": "src"},
        ).stdout.strip()
        == "[]"
    )


def test_a_glob_leaves_hidden_files_out_unless_it_asks_for_them(tmp_path) -> None:
    for name in ("a.parquet", ".b.parquet", "_c.parquet"):
        pq.write_table(pa.table({"ItemID": [1]}), tmp_path / name)
    assert [Path(f).name for f in ParquetSource(f"{tmp_path}/*.parquet").files] == ["a.parquet"]
    assert [Path(f).name for f in ParquetSource(f"{tmp_path}/_*.parquet").files] == ["_c.parquet"]
