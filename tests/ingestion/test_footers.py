"""Footers: damaged and encrypted ones end a process of their own, never the run."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource, footers
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.stream import open_stream


def table(n: int = 20) -> pa.Table:
    vectors = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    ids = pa.array([str(i) for i in range(n)], pa.string())
    return pa.table(
        {"ItemID": ids, "embedding": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 4)}
    )


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        _ = ParquetSource(str(path)).footers
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Keys(pe.KmsClient):
    """A key server that gives the keys away, as in pyarrow's own tests."""

    def __init__(self, _) -> None:
        super().__init__()

    def wrap_key(self, key_bytes, master_key_identifier):
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key, master_key_identifier):
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize(
    ("plaintext", "found"), [(True, "columns are encrypted"), (False, "its footer is encrypted")]
)
def test_encrypted_files_are_not_supported_rather_than_corrupt(tmp_path, plaintext, found) -> None:
    path = tmp_path / "a.parquet"
    configuration = pe.EncryptionConfiguration(
        footer_key="footer", column_keys={"column": ["ItemID"]}, plaintext_footer=plaintext
    )
    properties = pe.CryptoFactory(Keys).file_encryption_properties(
        pe.KmsConnectionConfig(), configuration
    )
    with pq.ParquetWriter(path, table().schema, encryption_properties=properties) as writer:
        writer.write_table(table())
    message = refused(path)
    assert f"a.parquet: {found}, which is not supported" in message
    assert "corrupt" not in message
    assert "copy" not in message


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda data: b"", "it has 0 bytes"),
        (lambda data: data[:9], "it has 9 bytes"),
        (lambda data: data[:-20], "it begins as one, but its end is missing"),
        (lambda data: b"a,b\n" * 50, "no PAR1 in it"),
        (lambda data: data[:-8] + b"\xff\xff\xff\x7fPAR1", "longer than the file"),
    ],
)
def test_what_is_no_parquet_file_says_why(tmp_path, change, found) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    path.write_bytes(change(path.read_bytes()))
    message = refused(path)
    assert "not a whole parquet file" in message
    assert found in message


def test_an_abort_of_the_library_is_a_message(tmp_path, monkeypatch) -> None:
    """The process ends as the library ends it, and the next file is read by another."""
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    reader = footers._Reader()
    code = (
        "import os, sys\nos.read(0, 8)\nsys.stderr.write('terminate called\\n  what():  size"
        " mismatch\\n')\nsys.stderr.flush()\nos.abort()"
    )
    real = subprocess.Popen
    monkeypatch.setattr(
        footers.subprocess, "Popen", lambda _, **kw: real([sys.executable, "-c", code], **kw)
    )
    with pytest.raises(BadInput, match=r"a: .*its footer is damaged \(size mismatch\)"):
        reader.describe(b"footer", "a")
    monkeypatch.setattr(footers.subprocess, "Popen", real)
    with path.open("rb") as file:
        assert "schema" in reader.describe(footers.read_end(file, "a"), "a")
    reader.close()


@pytest.mark.parametrize(
    "command", [["/nonexistent"], [sys.executable, "-c", "raise SystemExit(3)"]]
)
def test_where_no_process_can_be_started_footers_are_read_here(
    tmp_path, monkeypatch, command
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    real = subprocess.Popen
    monkeypatch.setattr(footers.subprocess, "Popen", lambda _, **kw: real(command, **kw))
    reader = footers._Reader()
    with path.open("rb") as file:
        assert reader.describe(footers.read_end(file, "a"), "a")["group_rows"] == [20]


def test_mutated_footers_never_end_the_run(tmp_path) -> None:
    """Seeded; every file is read, or refused in one line."""
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    data = path.read_bytes()
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    kinds = set()
    for seed in range(150):
        draw, changed = random.Random(seed), bytearray(data)
        for _ in range(draw.choice([1, 2, 4, 16])):
            changed[draw.randrange(begin, len(data) - 8)] = draw.choice(
                [0, 255, draw.randrange(256)]
            )
        path.write_bytes(changed)
        try:
            stream, _ = open_stream(ParquetSource(str(path)), IngestOptions("ItemID", "embedding"))
            kinds.add(sum(len(rows.vectors) for rows in stream.batches()))
        except BadInput:
            kinds.add("refused")
    assert kinds == {"refused", 20}


def test_an_idle_process_ends_and_another_takes_over(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(), path)
    assert ParquetSource(str(path)).rows == 20
    process = footers._reader._process
    assert process is not None
    process.stdin.close()
    process.wait(10)
    assert process.returncode == 0
    assert ParquetSource(str(path)).rows == 20
    assert footers._reader._process is not process


def test_two_thousand_files_take_seconds(tmp_path) -> None:
    pq.write_table(table(2), tmp_path / "0.parquet")
    for number in range(1, 2000):
        os.link(tmp_path / "0.parquet", tmp_path / f"{number}.parquet")
    begin = time.perf_counter()
    assert ParquetSource(str(tmp_path)).rows == 4000
    assert time.perf_counter() - begin < 30


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(table(20), path)
    source = ParquetSource(str(path))
    assert source.rows == 20
    pq.write_table(table(10), path)
    with pytest.raises(BadInput, match="was written to while it was being read"):
        list(source.batches(["ItemID"]))


def test_a_codec_that_is_not_supported_is_not_called_corrupt() -> None:
    from semantic_ids.ingestion.source import _unreadable

    error = OSError("Codec type LZO not supported in Parquet format")
    assert "what is not supported: Codec type LZO" in str(_unreadable("a", 0, error))
    assert "the file is corrupt" in str(_unreadable("a", 0, OSError("crc checksum failed")))


def test_a_null_array_of_duckdb_says_how_to_write_it() -> None:
    from semantic_ids.ingestion.source import _unreadable

    error = pa.ArrowInvalid(
        "Length spanned by list offsets (511) larger than values array (length 504)"
    )
    message = str(_unreadable("a.parquet", 0, error))
    assert "a.parquet, row group 0: cannot be read: a null array, as DuckDB writes it" in message
    assert "embedding::FLOAT[]" in message
