"""A gigabyte of vectors in less than 300 MB, whatever form it comes in, with the same codes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import clustered

from semantic_ids import RQKMeans

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
DIM, ROWS, TIMES = 384, 8192, 84
LIMIT_KIB = 300_000
TELL = """
import atexit, sys
def tell():
    status = open("/proc/self/status").read().split("VmHWM:")[1].split()[0]
    print(status, "pandas" in sys.modules, file=open({report!r}, "w"))
atexit.register(tell)
from semantic_ids.__main__ import main
main({words!r})
"""
"""The peak is that of /proc: `ru_maxrss` of a child begins with that of the process it is from."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a tokenizer, and a gigabyte of vectors in two forms; and their codes."""
    folder = tmp_path_factory.mktemp("gigabyte")
    x = clustered(ROWS, DIM)
    tokenizer = RQKMeans(
        codebook_sizes=(32, 32, 32),
        device="cpu",
        iterations=1,
        anneal_rounds=1,
        refine_rounds=0,
        unique_rounds=0,
    ).fit(x)
    tokenizer.save(folder / "tokenizer", onnx=True)
    with (folder / "x.npy").open("wb") as file:
        header = {"shape": (ROWS * TIMES, DIM), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(TIMES):
            file.write(x.tobytes())
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), DIM)
    schema = pa.schema([("ItemID", pa.int64()), ("embedding", vectors.type)])
    with pq.ParquetWriter(folder / "x.parquet", schema, use_dictionary=False) as writer:
        for _ in range(TIMES):
            writer.write_table(
                pa.Table.from_arrays([pa.array(range(ROWS)), vectors], schema=schema)
            )
    assert (folder / "x.npy").stat().st_size > 1e9 < (folder / "x.parquet").stat().st_size
    return folder, tokenizer.encode(x)


@pytest.mark.parametrize("form", ["npy", "parquet", "pipe"])
def test_a_gigabyte_is_encoded_in_less_than_300_mb(made, tmp_path, form):
    folder, codes = made
    source = "-" if form == "pipe" else str(folder / f"x.{form}")
    out, report = tmp_path / f"codes.{'parquet' if form == 'parquet' else 'npy'}", tmp_path / "kib"
    words = ["encode", "-i", source, "-o", str(out), "-c", str(folder / "tokenizer")]
    program = TELL.format(report=str(report), words=[*words, "--threads", "2"])
    if form == "pipe":
        with subprocess.Popen(["cat", folder / "x.npy"], stdout=subprocess.PIPE) as cat:
            subprocess.run([sys.executable, "-c", program], stdin=cat.stdout, check=True)
    else:
        subprocess.run([sys.executable, "-c", program], check=True)
    peak, pandas = report.read_text().split()
    assert int(peak) < LIMIT_KIB
    assert pandas == "False", "pandas, where it is installed, takes 60 MB and a third of a second"
    if form == "parquet":
        column = pq.read_table(out, columns=["codes"])["codes"].combine_chunks()
        found = column.flatten().to_numpy().reshape(-1, 3)
    else:
        found = np.load(out)
    assert np.array_equal(found.reshape(TIMES, ROWS, 3), np.broadcast_to(codes, (TIMES, ROWS, 3)))
