"""`semantic-ids encode`, `decode` and `info`, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import click
import numpy as np
import pytest

from semantic_ids.app.serving import commands


def semantic_ids(*words, **options):
    command = [sys.executable, "-m", "semantic_ids", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_a_file_and_a_pipe_give_the_codes_of_torch_and_back(fitted, tmp_path):
    folder, x, codes, decoded = fitted
    source = tmp_path / "x.npy"
    np.save(source, x)
    done = semantic_ids("encode", "-i", source, "-c", folder)
    assert (done.returncode, done.stdout) == (0, b"")
    made = tmp_path / "x_codes.npy"
    assert np.load(made).dtype == np.int32 and np.array_equal(np.load(made), codes)
    piped = semantic_ids("encode", "-i", "-", "-c", folder, input=source.read_bytes())
    assert piped.stdout == made.read_bytes()
    assert semantic_ids("decode", "-i", made, "-c", folder, "--threads", 1).returncode == 0
    np.testing.assert_allclose(np.load(tmp_path / "x_codes_vectors.npy"), decoded, atol=1e-6)
    said = json.loads(semantic_ids("info", folder).stdout)
    assert (said["dim"], said["codebook_sizes"]) == (16, [16, 20, 24])


def test_big_endian_numbers_are_read_and_tokens_written(fitted, tmp_path):
    folder, x, codes, _ = fitted
    np.save(tmp_path / "x.npy", x[:10].astype(">f8"))
    semantic_ids("encode", "-i", tmp_path / "x.npy", "-c", folder, "--tokens")
    a, b, c = codes[0]
    lines = (tmp_path / "x_codes.txt").read_text().splitlines()
    assert len(lines) == 10 and lines[0] == f"<a_{a}><b_{b}><c_{c}>"


def bad_nan(x):
    x[3000, 2] = np.nan
    return x


BAD = {
    "row 3000: it holds NaN": bad_nan,
    "row 4999: it is a vector of zeros": lambda x: np.concatenate([x[:-1], x[:1] * 0]),
    "expected rows of 16 numbers": lambda x: x[:, :15],
    "in the order of Fortran": np.asfortranarray,
    "an array of object": lambda x: x.astype(object),
    "an array of shape (80000,)": np.ravel,
}


@pytest.mark.parametrize("said", BAD)
def test_bad_vectors_end_in_one_line_and_leave_nothing(fitted, tmp_path, said):
    np.save(tmp_path / "x.npy", BAD[said](fitted[1].copy()), allow_pickle=True)
    done = semantic_ids("encode", "-i", tmp_path / "x.npy", "-c", fitted[0])
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert said in line
    assert [file.name for file in tmp_path.iterdir()] == ["x.npy"]


def test_a_truncated_pipe_and_a_wrong_code_are_refused(fitted, tmp_path):
    folder, x, codes, _ = fitted
    np.save(tmp_path / "x.npy", x)
    short = (tmp_path / "x.npy").read_bytes()[:-100]
    out = tmp_path / "out.npy"
    done = semantic_ids("encode", "-i", "-", "-o", out, "-c", folder, input=short)
    assert done.returncode == 1 and b"ends after 4998 of 5000 rows" in done.stderr
    codes = codes.copy()
    codes[7, 0] = -1
    np.save(tmp_path / "c.npy", codes)
    done = semantic_ids("decode", "-i", tmp_path / "c.npy", "-o", out, "-c", folder)
    assert done.returncode == 1 and b"row 7: code -1 of level 1" in done.stderr
    assert not out.exists()


def test_the_input_is_never_replaced(fitted, tmp_path):
    file = tmp_path / "x.npy"
    np.save(file, fitted[1])
    before = file.read_bytes()
    done = semantic_ids("encode", "-i", file, "-o", file, "-c", fitted[0])
    assert done.returncode == 1 and b"would replace the input" in done.stderr
    assert file.read_bytes() == before


def test_a_malformed_command_ends_with_2_and_help_says_what_codes_are_not(fitted):
    assert semantic_ids("encode").returncode == 2
    assert semantic_ids("encode", "--help").stdout.count(b"not unique IDs") == 1


def test_json_lines_pass_through_a_pipe(fitted):
    folder, x, codes, _ = fitted
    given = "".join(f"{json.dumps(row)}\n" for row in x[:3].tolist()).encode()
    done = semantic_ids("encode", "-i", "-", "-c", folder, "--format", "jsonl", input=given)
    assert [json.loads(line) for line in done.stdout.splitlines()] == codes[:3].tolist()


def test_torch_computes_where_there_are_no_graphs(fitted, tmp_path):
    """A generation and a folder of generations lead to their tokenizer."""
    folder, x, codes, _ = fitted
    bundle = tmp_path / "bundles" / "000001-0123abcd"
    shutil.copytree(folder, bundle / "tokenizer", ignore=shutil.ignore_patterns("*.onnx"))
    (bundle / "manifest.json").write_text('{"generation": 1}')
    (bundle.parent / "latest").write_text(bundle.name)
    np.save(tmp_path / "x.npy", x)
    for place in (bundle.parent, bundle, bundle / "tokenizer"):
        assert json.loads(semantic_ids("info", place).stdout)["backend"] == "torch"
    semantic_ids("encode", "-i", tmp_path / "x.npy", "-c", bundle.parent)
    assert np.array_equal(np.load(tmp_path / "x_codes.npy"), codes)
    done = semantic_ids("info", bundle, "--backend", "onnx")
    assert done.returncode == 1 and b"there is no such graph" in done.stderr


def test_without_torch_one_line_names_the_extra(fitted, tmp_path):
    np.save(tmp_path / "x.npy", fitted[1])
    words = ["encode", "-i", str(tmp_path / "x.npy"), "-c", str(fitted[0]), "--backend", "torch"]
    program = (
        "import sys; sys.modules['torch'] = None; from semantic_ids.__main__ import main;"
        f"sys.argv[1:] = {words!r}; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 1 and "'torch' is not installed" in line and "[pipeline]" in line


def test_a_beam_is_for_torch(fitted, tmp_path):
    np.save(tmp_path / "x.npy", fitted[1])
    words = ("encode", "-i", tmp_path / "x.npy", "-c", fitted[0], "--beam", 1)
    done = semantic_ids(*words)
    assert done.returncode == 1 and b"add --backend torch" in done.stderr
    assert semantic_ids(*words, "--backend", "torch").returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("-i", ""),
        ("-i", "x.npy", "-o", "x.parquet"),
        ("-i", "x.npy", "--id-column", "a"),
        ("-i", "x.npy", "--tokens", "-o", "y.npy"),
        ("-i", "x*.parquet"),
        ("-i", "x.parquet", "-o", "-"),
        ("-i", "-", "--format", "parquet", "-o", "x.parquet"),
    ],
)
def test_what_does_not_go_together_is_a_malformed_command(fitted, words):
    with pytest.raises(click.UsageError):
        commands.main(["encode", *words, "-c", str(fitted[0])], standalone_mode=False)


def test_a_device_is_not_replaced_and_a_full_disk_is_one_line(fitted, tmp_path):
    np.save(tmp_path / "x.npy", fitted[1])
    words = ("encode", "-i", tmp_path / "x.npy", "-c", fitted[0])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = semantic_ids(*words, "-o", pipe)
    assert done.returncode == 1 and b"it is there, and no file" in done.stderr
    assert pipe.is_fifo()
    command = [sys.executable, "-m", "semantic_ids", *map(str, words), "-o", "-"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "no space left" in line


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_file(fitted, tmp_path):
    """400 MB of vectors under 300 MB.

    The peak is that of /proc: `ru_maxrss` of a child begins with that of the process it came from.
    """
    folder, x, codes, _ = fitted
    big = np.lib.format.open_memmap(
        tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(6_250_000, 16)
    )
    for start in range(0, len(big), len(x)):
        big[start : start + len(x)] = x
    del big
    program = (
        "import re; from semantic_ids.runtime.files import encode_npy;"
        "from semantic_ids import load_encoder;"
        f"encode_npy(load_encoder({str(folder)!r}, 1), {str(tmp_path / 'x.npy')!r},"
        f" {str(tmp_path / 'c.npy')!r});"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(done.stdout) < 300_000, "KiB"
    assert np.array_equal(np.load(tmp_path / "c.npy", mmap_mode="r")[-5000:], codes)
