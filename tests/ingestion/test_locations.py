"""Which files a place means: nothing that may be meant is left out in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource


def write(root: Path, *names: str) -> Path:
    """Write parquet files of one row, whose ids are their numbers."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"ItemID": [number], "embedding": [[float(number), 1.0]]})
        pq.write_table(table, root / name)
    return root


def names(source: ParquetSource) -> list[str]:
    """The files of a source as they are called from the folder `in`."""
    return [file.rpartition("/in/")[2] for file in source.files]


def source(*parts: object) -> ParquetSource:
    return ParquetSource("/".join(str(part) for part in parts))


def refused(found: ParquetSource) -> str:
    with pytest.raises(BadInput) as caught:
        _ = found.files
    return str(caught.value)


@pytest.mark.parametrize("ending", ["PARQUET", "parq", "pq", "Parquet", "PQ"])
def test_other_endings_are_read(tmp_path, ending) -> None:
    write(tmp_path / "in", "a.parquet", f"b.{ending}", "c.gz.parquet")
    found = source(tmp_path, "in")
    assert names(found) == ["a.parquet", f"b.{ending}", "c.gz.parquet"]
    assert found.left_out == ()


@pytest.mark.parametrize("ending", ["PARQUET", "parq", "pq"])
def test_what_a_glob_passes_over_for_its_ending_is_named(tmp_path, ending) -> None:
    write(tmp_path / "in", "a.parquet", f"b.{ending}")
    found = source(tmp_path, "in", "*.parquet")
    assert names(found) == ["a.parquet"]
    assert f"1 file beside those that {found.location} matches" in found.left_out[0]
    assert f"'b.{ending}'" in found.left_out[0]
    (tmp_path / "in" / "a.parquet").unlink()
    assert f"no file matches, but there are 'b.{ending}'" in refused(
        source(tmp_path, "in", "*.parquet")
    )


def test_parquet_files_of_other_names_are_named(tmp_path) -> None:
    write(tmp_path / "in", "part-0", "part-1")
    (tmp_path / "in" / "notes.txt").write_text("PAR")
    message = refused(source(tmp_path, "in"))
    assert "2 files begin as parquet files do: 'part-0', 'part-1'" in message
    assert f"give embeddings={tmp_path}/in/*" in message
    write(tmp_path / "in", "a.parquet")
    assert "2 files" in source(tmp_path, "in").left_out[0]
    assert names(source(tmp_path, "in", "part*")) == ["part-0", "part-1"]


@pytest.mark.parametrize(
    "files",
    [
        ["k=1/a.parquet", "k=2/a.parquet"],
        ["k=1/l=x/a.parquet", "k=1/l=y/a.parquet", "k=__HIVE_DEFAULT_PARTITION__/l=x/0.parquet"],
        ["_k=1/a.parquet"],
        ["part.parquet/part-0.parquet", "part.parquet/part-1.parquet"],
        ["item_emb.parquet/part-0.parquet"],
    ],
    ids=["hive", "hive of two keys", "hive with _", "folder named as a file", "favourite"],
)
@pytest.mark.parametrize("protocol", ["", "memory://"])
def test_folders_that_are_parts_are_read(tmp_path, files, protocol) -> None:
    write(tmp_path / "in", *files)
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "in" / ".part-0.parquet.crc").touch()
    if protocol:
        import fsspec

        memory = fsspec.filesystem("memory")
        memory.put(f"{tmp_path}/in", f"/locations{tmp_path}/in", recursive=True)
        found = ParquetSource(f"memory://locations{tmp_path}/in")
    else:
        found = source(tmp_path, "in")
    assert [file.split("/in/")[1] for file in found.files] == sorted(files)
    assert found.left_out == ()
    assert found.rows == len(files)


def test_a_glob_reads_the_folders_it_matches(tmp_path) -> None:
    write(tmp_path / "in", "run_1/part-0.parquet", "run_2/part-0.parquet", "x/o.parquet/0.parquet")
    runs = ["run_1/part-0.parquet", "run_2/part-0.parquet"]
    assert names(source(tmp_path, "in", "run_*")) == runs
    assert names(source(tmp_path, "in", "x", "*.parquet")) == ["x/o.parquet/0.parquet"]


def test_a_glob_of_files_names_the_folders_it_passes_over(tmp_path) -> None:
    write(tmp_path / "in", "a.parquet", "old/b.parquet")
    assert "1 file in folders of" in source(tmp_path, "in", "*").left_out[0]
    assert names(source(tmp_path, "in", "**")) == ["a.parquet", "old/b.parquet"]


def test_deeper_folders_are_named_or_refused_with_the_glob_that_would_do(tmp_path) -> None:
    write(tmp_path / "in", "data/train/a.PQ", "data/.ipynb_checkpoints/b.PQ")
    message = refused(source(tmp_path, "in"))
    assert "no parquet file in this folder, but 1 file in folders in it" in message
    given = message.rpartition("embeddings=")[2].rstrip(".")
    assert [os.path.basename(f) for f in ParquetSource(given).files] == ["a.PQ"]
    write(tmp_path / "in", "a.parquet")
    assert "1 file in folders of" in source(tmp_path, "in").left_out[0]


def test_hidden_and_temporary_files_are_none_of_the_data(tmp_path) -> None:
    hidden = ["_temporary/0/a.parquet", ".b.parquet", "._c.parquet", "_d.parquet"]
    write(tmp_path / "in", "a.parquet", *hidden)
    for found in (source(tmp_path, "in"), source(tmp_path, "in/**/*.parquet")):
        assert names(found) == ["a.parquet"]
    assert "a folder _temporary" in source(tmp_path, "in").left_out[0]
    assert len(source(tmp_path, "in", "_temporary/**/*.parquet").files) == 1


def test_links(tmp_path) -> None:
    write(tmp_path, "elsewhere/a.parquet", "in/b.parquet")
    os.symlink(tmp_path / "elsewhere" / "a.parquet", tmp_path / "in" / "a.parquet")
    os.symlink(tmp_path / "in", tmp_path / "in" / "loop")
    assert names(source(tmp_path, "in")) == ["a.parquet", "b.parquet"]
    os.symlink("gone.parquet", tmp_path / "in" / "c.parquet")
    for place in ("in", "in/*.parquet", "in/c.parquet"):
        assert "c.parquet: a link to gone.parquet, which is not there" in refused(
            source(tmp_path, place)
        )


def test_a_pipe_is_never_waited_for(tmp_path) -> None:
    write(tmp_path / "in", "a.parquet")
    for name in ("b.parquet", "c"):
        os.mkfifo(tmp_path / "in" / name)
    assert names(source(tmp_path, "in")) == ["a.parquet"]
    assert names(source(tmp_path, "in", "*")) == ["a.parquet"]
    assert "a pipe or a device" in refused(source(tmp_path, "in", "b.parquet"))


def test_a_file_name_that_is_no_text(tmp_path) -> None:
    write(tmp_path / "in", "a.parquet")
    os.rename(tmp_path / "in" / "a.parquet", os.fsencode(tmp_path / "in") + b"/\xff.parquet")
    message = refused(source(tmp_path, "in"))
    assert r"\xff.parquet: the name of a file is no text" in message
    message.encode()


@pytest.mark.parametrize(
    ("name", "said"),
    [("data-0.arrow", "to_parquet('items.parquet')"), ("a.csv", "files that end in .csv")],
)
def test_a_folder_of_another_kind_is_told(tmp_path, name, said) -> None:
    (tmp_path / name).touch()
    assert said in refused(source(tmp_path))


@pytest.mark.parametrize("cache", ["simplecache", "filecache"])
def test_a_cache_is_not_this_machine(tmp_path, cache) -> None:
    import fsspec

    write(tmp_path, "a.parquet")
    memory = fsspec.filesystem("memory")
    memory.pipe("/cached/a.parquet", (tmp_path / "a.parquet").read_bytes())
    found = ParquetSource(f"{cache}::memory://cached/a.parquet")
    assert found.rows == 1
    assert [len(batch.columns) for batch in found.batches(["ItemID"])] == [1]
