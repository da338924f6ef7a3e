from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids.arrays import read_rows
from semantic_ids.datasets.embeddings import EmbeddingsDataset
from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash, vector_hash
from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.stream import open_stream

SRC = Path(__file__).parents[2] / "src"
FILES = {"vectors.npy", "vector_hashes.npy", "item_ids.parquet", "manifest.json"}


def stream_of(path: Path, **options) -> EmbeddingStream:
    return open_stream(ParquetSource(str(path)), IngestOptions("ItemID", "embedding", **options))[0]


def write(path: Path, ids: list, vectors: np.ndarray, group: int = 16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table({"ItemID": ids, "embedding": pa.array(list(vectors), pa.list_(pa.float32()))}),
        path,
        row_group_size=group,
    )
    return path


@pytest.fixture
def vectors() -> np.ndarray:
    found = np.random.default_rng(0).normal(size=(60, 7)).astype(np.float32)
    found[[3, 17]] = 0
    found[4, :2] = -0.0
    return found


@pytest.fixture
def dataset(tmp_path: Path) -> EmbeddingsDataset:
    return EmbeddingsDataset(
        str(tmp_path / "data" / "embeddings"), metadata={"kedro-viz": {"layer": "primary"}}
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {child.name: child.read_bytes() for child in folder.iterdir()}


def bad_input(error: DatasetError) -> str:
    """The line for the user below what Kedro wraps around it."""
    assert isinstance(error.__cause__, BadInput)
    return str(error.__cause__)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("text", [False, True])
def test_round_trip(dataset, vectors, tmp_path, dtype, text) -> None:
    ids = [f"item {i}" if text else i for i in range(60)]
    assert not dataset.exists()
    dataset.save(stream_of(write(tmp_path / "in.parquet", ids, vectors), dtype=dtype))
    assert dataset.exists()
    found = dataset.load()
    order = np.argsort(item_hash(ids))
    np.testing.assert_array_equal(found.vectors, vectors[order].astype(dtype))
    np.testing.assert_array_equal(found.vector_hashes, vector_hash(found.vectors))
    assert found.item_ids.to_pylist() == [ids[row] for row in order]
    assert found.item_ids.type == (pa.string() if text else pa.int64())
    assert (len(found), found.dim, found.zero_rows) == (60, 7, 2)
    assert isinstance(found.vectors, np.memmap)
    assert not found.vectors.flags.writeable
    np.testing.assert_array_equal(read_rows(found.vectors, slice(3, 9)), found.vectors[3:9])
    assert set(bytes_of(dataset._filepath)) == FILES
    assert dataset.metadata == {"kedro-viz": {"layer": "primary"}}


@pytest.mark.parametrize("on_invalid", ["raise", "drop"])
def test_bytes_do_not_depend_on_rows_and_files(tmp_path, vectors, on_invalid) -> None:
    found = []
    for seed in range(3):
        rows = random.Random(seed).sample(range(60), 60)
        cuts = sorted(random.Random(seed).sample(range(1, 60), seed))
        for number, part in enumerate(np.split(np.array(rows), cuts)):
            write(
                tmp_path / str(seed) / f"{number}.parquet",
                part.tolist(),
                vectors[part],
                group=5 + seed,
            )
        dataset = EmbeddingsDataset(str(tmp_path / f"out{seed}"))
        dataset.save(stream_of(tmp_path / str(seed), on_invalid=on_invalid))
        found.append(bytes_of(dataset._filepath))
    assert found[0] == found[1] == found[2]
    assert str(tmp_path) not in found[0]["manifest.json"].decode()


@pytest.mark.parametrize("options", [{"max_items": 2}, {"on_invalid": "drop"}])
def test_files_of_which_no_row_is_taken(dataset, vectors, tmp_path, options) -> None:
    for number in range(20):
        valid = number < 2 or "max_items" in options
        vector = vectors[number : number + 1] if valid else np.full((1, 7), np.nan)
        write(tmp_path / "in" / f"{number}.parquet", [number], vector)
    dataset.save(stream_of(tmp_path / "in", **options))
    assert len(dataset.load()) == 2


def test_fingerprint_stands_for_the_content(tmp_path, vectors) -> None:
    def fingerprint(name: str, ids: list, found: np.ndarray, **options) -> str:
        dataset = EmbeddingsDataset(str(tmp_path / "out"))
        dataset.save(stream_of(write(tmp_path / f"{name}.parquet", ids, found), **options))
        return dataset.load().provenance.fingerprint

    ids = list(range(60))
    first = fingerprint("a", ids, vectors)
    assert first == fingerprint("b", ids, vectors, on_invalid="drop")
    changed = vectors.copy()
    changed[59, 6] += 1e-3
    others = [
        fingerprint("c", ids, changed),
        fingerprint("d", [*ids[:-1], 99], vectors),
        fingerprint("e", ids, vectors, dtype="float16"),
        fingerprint("f", ids, vectors, max_items=59),
    ]
    assert len({first, *others}) == 5


def test_an_invalid_row_leaves_what_was_there(dataset, vectors, tmp_path) -> None:
    dataset.save(stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors)))
    before = bytes_of(dataset._filepath)
    vectors[50, 1] = np.nan
    stream = stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors))
    with pytest.raises(DatasetError) as caught:
        dataset.save(stream)
    assert "row group 3, row 50: item id 50: a value in the vector is NaN" in bad_input(
        caught.value
    )
    assert bytes_of(dataset._filepath) == before
    assert list(dataset._filepath.parent.iterdir()) == [dataset._filepath]


@pytest.mark.parametrize("written", [errno.ENOSPC, 3])
def test_no_space_left(dataset, vectors, tmp_path, monkeypatch, written) -> None:
    def full(handle, data, offset):
        if written == errno.ENOSPC:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    stream = stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors))
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DatasetError) as caught:
        dataset.save(stream)
    assert "no space left: 0.0 MB are needed" in bad_input(caught.value)
    assert list(dataset._filepath.parent.iterdir()) == []


def test_a_file_system_that_cannot_reserve(dataset, vectors, tmp_path, monkeypatch) -> None:
    def cannot(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    dataset.save(stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors)))
    assert len(dataset.load()) == 60


def test_killed_in_the_middle_leaves_no_embeddings(dataset, vectors, tmp_path) -> None:
    path = write(tmp_path / "in.parquet", list(range(60)), vectors)
    code = (
        "import os, signal\nfrom semantic_ids.datasets.embeddings import EmbeddingsDataset\nfrom"
        " semantic_ids.ingestion import ParquetSource\nfrom semantic_ids.ingestion.options import"
        " IngestOptions; from semantic_ids.ingestion.stream import open_stream\npwrite, calls ="
        " os.pwrite, []\ndef dying(*args):\n    calls.append(1)\n    len(calls) == 40 and"
        " os.kill(os.getpid(), signal.SIGKILL)\n    return pwrite(*args)\nos.pwrite ="
        f" dying\nstream, _ = open_stream(ParquetSource({str(path)!r}), IngestOptions('ItemID',"
        f" 'embedding'))\nEmbeddingsDataset({str(dataset._filepath)!r}).save(stream)\n"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SRC)}, check=False
        ).returncode
        == -signal.SIGKILL
    )
    assert not dataset.exists()
    assert len(list(dataset._filepath.parent.iterdir())) == 1
    dataset.save(stream_of(path))
    assert len(dataset.load()) == 60
    assert list(dataset._filepath.parent.iterdir()) == [dataset._filepath]


def without_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def short_vectors(folder: Path) -> None:
    os.truncate(folder / "vectors.npy", (folder / "vectors.npy").stat().st_size - 1)


def no_header(folder: Path) -> None:
    os.truncate(folder / "vectors.npy", 0)


def broken_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"format": 1')


def other_rows(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"rows": 61}))


def broken_ids(folder: Path) -> None:
    (folder / "item_ids.parquet").write_bytes(b"PAR1")


def short_hashes(folder: Path) -> None:
    np.save(folder / "vector_hashes.npy", np.zeros(5, np.uint64))


@pytest.mark.parametrize(
    "damage",
    [
        without_manifest,
        short_vectors,
        no_header,
        broken_manifest,
        other_rows,
        broken_ids,
        short_hashes,
    ],
)
def test_what_is_not_whole_is_refused(dataset, vectors, tmp_path, damage) -> None:
    dataset.save(stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors)))
    damage(dataset._filepath)
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert "the embeddings are not whole" in bad_input(caught.value)
    assert caught.value.__cause__.remake == "embeddings"


def test_absent(dataset) -> None:
    with pytest.raises(DatasetError) as caught:
        dataset.load()
    assert "there are no embeddings; make 'embeddings' first." in bad_input(caught.value)


def test_set_aside_generation_is_found_again(dataset, vectors, tmp_path) -> None:
    dataset.save(stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors)))
    folder = dataset._filepath
    os.rename(folder, folder.with_name(f".{folder.name}.{os.getpid()}.old"))
    assert dataset.exists()
    assert len(dataset.load()) == 60


def test_preview_is_small(dataset, vectors, tmp_path) -> None:
    dataset.save(stream_of(write(tmp_path / "in.parquet", list(range(60)), vectors)))
    preview = dataset.preview(nrows=3)
    found = dataset.load()
    assert preview["columns"] == ["item_id", *(f"dimension {d}" for d in range(6))]
    assert [row[0] for row in preview["data"]] == found.item_ids[:3].to_pylist()
    np.testing.assert_allclose(
        [row[1:] for row in preview["data"]], found.vectors[:3, :6], atol=1e-6
    )
    json.dumps(preview)
