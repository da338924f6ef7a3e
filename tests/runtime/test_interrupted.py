"""A command that is stopped, or has no room, leaves no file and says one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids import atomic
from semantic_ids.app.serving import commands


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_leaves_nothing(fitted, tmp_path, number, code):
    """The input is a pipe that stays open, so that the command is in the middle of its work."""
    folder, x, _, _ = fitted
    out = tmp_path / "codes.npy"
    command = [sys.executable, "-m", "semantic_ids", "encode", "-i", "-", "-o", str(out)]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}

    def heard():  # what runs in the background of a shell ignores Ctrl-C, and so do its children
        signal.signal(number, signal.SIG_DFL)

    command += ["-c", str(folder)]
    with subprocess.Popen(command, **pipes, preexec_fn=heard) as process:  # noqa: PLW1509
        header = {"shape": (1_000_000, 16), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(process.stdin, header)
        process.stdin.write(x.tobytes())
        process.stdin.flush()
        until = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        assert [file.suffix for file in tmp_path.iterdir()] == [".tmp"]
        os.kill(process.pid, number)
        said = process.stderr.read().decode()
        process.stdin.close()
        assert process.wait(30) == code
    assert said.splitlines() == ["Interrupted." if code == 130 else "Terminated."]
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_killed_leaves_no_file_of_that_name(fitted, tmp_path):
    """What it leaves is removed by the next one."""
    folder, x, codes, _ = fitted
    out = tmp_path / "codes.npy"
    command = [sys.executable, "-m", "semantic_ids", "encode", "-i", "-", "-o", str(out)]
    with subprocess.Popen([*command, "-c", str(folder)], stdin=subprocess.PIPE) as process:
        header = {"shape": (1_000_000, 16), "fortran_order": False, "descr": "<f4"}
        np.lib.format.write_array_header_1_0(process.stdin, header)
        process.stdin.flush()
        until = time.monotonic() + 60
        while not any(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.wait(30)
        process.stdin.close()
    assert not out.exists() and len(list(tmp_path.iterdir())) == 1
    np.save(tmp_path / "x.npy", x)
    words = ["encode", "-i", str(tmp_path / "x.npy"), "-o", str(out), "-c", str(folder)]
    commands.main(words, standalone_mode=False)
    assert {file.name for file in tmp_path.iterdir()} == {"codes.npy", "x.npy"}
    assert np.array_equal(np.load(out), codes)


@pytest.mark.parametrize("form", ["npy", "jsonl", "parquet"])
def test_a_full_disk_is_one_line_and_leaves_nothing(fitted, tmp_path, monkeypatch, form):
    folder, x, _, _ = fitted
    source = tmp_path / f"x.{form}"
    if form == "npy":
        np.save(source, x[:100])
    elif form == "jsonl":
        source.write_text("".join(f"{row}\n" for row in x[:100].tolist()))
    else:
        vectors = pa.array(list(x[:100]), pa.list_(pa.float32()))
        pq.write_table(pa.table({"ItemID": range(100), "embedding": vectors}), source)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    words = ["encode", "-i", str(source), "-o", str(tmp_path / f"o.{form}"), "-c", str(folder)]
    with pytest.raises(click.ClickException, match=r"no space left: .* or write elsewhere with -o"):
        commands.main(words, standalone_mode=False)
    assert [file.name for file in tmp_path.iterdir()] == [source.name]
