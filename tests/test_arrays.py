from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.arrays import CHUNK_ROWS, chunks, read_rows, release


@given(st.integers(0, 1000), st.integers(1, 300))
def test_chunks_cover_every_row_once(n, size) -> None:
    found = list(chunks(n, size))
    assert [row for rows in found for row in range(n)[rows]] == list(range(n))
    assert all(0 < rows.stop - rows.start <= size for rows in found)


def test_chunks_have_a_fixed_size() -> None:
    assert [rows.stop - rows.start for rows in chunks(2 * CHUNK_ROWS + 1)] == [CHUNK_ROWS, CHUNK_ROWS, 1]


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(5000, 256)).astype(np.float16))
    return np.load(tmp_path / "a.npy", mmap_mode="r")


@pytest.mark.parametrize("rows", [slice(3, 90), slice(0, 0), np.array([7, 7, 4999, 0]), np.array([], int)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("in_memory", [False, True])
def test_rows_are_copied(mapped, rows, dtype, in_memory) -> None:
    array = np.array(mapped) if in_memory else mapped
    found = read_rows(array, rows, dtype)
    np.testing.assert_array_equal(found, np.array(mapped)[rows].astype(dtype))
    assert found.dtype == dtype
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert not np.shares_memory(found, array)
    assert not isinstance(found, np.memmap) or getattr(found, "_mmap", None) is None or not np.shares_memory(found, mapped)


def resident_kb(array: np.memmap) -> int:
    """Resident memory of the mapping of this file, in kB, as the system counts it."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(str(array.filename)))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells the resident pages of a mapping")
def test_pages_are_given_back(mapped) -> None:
    assert float(mapped.astype(np.float32).sum()) != 0.0
    assert resident_kb(mapped) > 1000
    read_rows(mapped, slice(0, 10))
    assert resident_kb(mapped) == 0


def test_releasing_an_array_in_memory_does_nothing() -> None:
    array = np.ones(3)
    release(array)
    release(array[:2])
    assert array.sum() == 3
