from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semantic_ids.arrays import (
    CHUNK_ROWS,
    MappedRows,
    chunks,
    in_threads,
    map_rows,
    one_behind,
    one_thread,
    prefetch,
    read_rows,
    release,
    require_finite,
    stretches,
    trim_memory,
    usable_cores,
)
from semantic_ids.errors import BadInput


@given(st.integers(0, 1000), st.integers(1, 300))
def test_chunks_cover_every_row_once(n, size) -> None:
    found = list(chunks(n, size))
    assert [row for rows in found for row in range(n)[rows]] == list(range(n))
    assert all(0 < rows.stop - rows.start <= size for rows in found)


def test_chunks_have_a_fixed_size() -> None:
    assert [rows.stop - rows.start for rows in chunks(2 * CHUNK_ROWS + 1)] == [
        CHUNK_ROWS,
        CHUNK_ROWS,
        1,
    ]


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), max_size=30))
def test_stretches_stand_one_after_the_other(parts) -> None:
    begin, lengths = np.array(parts, dtype=np.int64).reshape(-1, 2).T
    found = stretches(begin, lengths)
    assert found.dtype == np.int64
    assert found.tolist() == [at for first, n in parts for at in range(first, first + n)]


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    np.save(
        tmp_path / "a.npy", np.random.default_rng(0).normal(size=(5000, 256)).astype(np.float16)
    )
    return np.load(tmp_path / "a.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "rows", [slice(3, 90), slice(0, 0), np.array([7, 7, 4999, 0]), np.array([], int)]
)
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
    assert (
        not isinstance(found, np.memmap)
        or getattr(found, "_mmap", None) is None
        or not np.shares_memory(found, mapped)
    )


def resident_kb(array: np.memmap) -> int:
    """Resident memory of the mapping of this file, in kB, as the system counts it."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.endswith(str(array.filename)))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="only Linux tells the resident pages of a mapping"
)
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


def test_a_map_keeps_its_file_whatever_takes_its_name(mapped, tmp_path) -> None:
    rows = map_rows(tmp_path / "a.npy")
    expected = np.array(rows)
    np.save(tmp_path / "b.npy", np.zeros_like(expected))
    (tmp_path / "b.npy").replace(tmp_path / "a.npy")
    np.testing.assert_array_equal(read_rows(rows, np.array([4, 2, 4])), expected[[4, 2, 4]])


@pytest.mark.parametrize(
    "part", [np.s_[:], np.s_[100:300], np.s_[10:900:7], np.s_[:, :9], np.s_[:, ::2], np.s_[::-1]]
)
def test_scattered_rows_of_any_part_of_a_map(mapped, tmp_path, part) -> None:
    rows, expected = map_rows(tmp_path / "a.npy")[part], np.array(mapped)[part]
    chosen = np.array([5, 0, len(expected) - 1, 5, -1])
    np.testing.assert_array_equal(
        read_rows(rows, chosen, np.float64), expected[chosen].astype(np.float64)
    )


def test_rows_that_are_not_there_are_an_error(mapped, tmp_path) -> None:
    with pytest.raises(IndexError):
        read_rows(map_rows(tmp_path / "a.npy"), np.array([0, 5000]))


@pytest.mark.parametrize("content", [b"", b"rubbish that is no array", b"\x93NUMPY\x01\x00"])
def test_what_is_no_array_is_an_error(tmp_path, content) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ValueError):
        map_rows(tmp_path / "x.npy")


def test_a_file_that_is_shorter_than_it_says_is_an_error(mapped, tmp_path) -> None:
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "short.npy").write_bytes(whole[:-10])
    with pytest.raises(ValueError):
        map_rows(tmp_path / "short.npy")
    np.save(tmp_path / "flat.npy", np.ones(3))
    with pytest.raises(ValueError, match="rows"):
        map_rows(tmp_path / "flat.npy")


def test_a_map_is_read_without_mapping_its_pages(mapped, tmp_path) -> None:
    rows = map_rows(tmp_path / "a.npy")
    assert isinstance(rows, MappedRows)
    read_rows(rows, np.arange(0, 5000, 3))
    if Path("/proc/self/smaps").exists():
        assert resident_kb(rows) == 0


@given(st.lists(st.integers(), max_size=20))
def test_what_is_made_ahead_comes_in_order(items) -> None:
    assert list(prefetch(iter(items))) == items


@pytest.mark.parametrize("n", [0, 1, 100])
def test_what_threads_make_comes_in_the_order_of_the_items(n) -> None:
    made = in_threads(
        lambda i: time.sleep(0.0005 * (i % 7)) or (i, threading.get_ident()), range(n)
    )
    found = list(made)
    assert [i for i, _ in found] == list(range(n))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_threads_take_few_items_ahead_and_pass_an_error_on() -> None:
    taken = []

    def items():
        for i in range(1000):
            taken.append(i)
            yield i

    made = in_threads(lambda i: 1 // (20 - i), items())
    assert next(made) == 0 and len(taken) <= 2 * (os.cpu_count() or 1) + 1
    with pytest.raises(ZeroDivisionError):
        list(made)
    assert len(taken) < 1000


def test_an_error_of_what_is_made_ahead_comes_in_its_place() -> None:
    def broken():
        yield 1
        yield 2
        raise ValueError("three")

    seen = []
    with pytest.raises(ValueError, match="three"):
        for item in prefetch(broken()):
            seen.append(item)
    assert seen == [1, 2]


@pytest.fixture
def rows_of_a_map(tmp_path: Path) -> MappedRows:
    np.save(tmp_path / "r.npy", np.arange(4000, dtype=np.float32).reshape(1000, 4))
    return map_rows(tmp_path / "r.npy")


@pytest.mark.parametrize(
    "derive",
    [
        lambda x: x[np.arange(1000) % 2 == 1],
        lambda x: x[[5, 3, 8, 900]],
        lambda x: x * 2,
        lambda x: x.copy(),
        lambda x: x[10:500].copy(),
        lambda x: np.sort(x, axis=0)[::-1],
    ],
)
def test_what_is_derived_from_a_map_is_read_where_it_is(rows_of_a_map, derive) -> None:
    derived = derive(rows_of_a_map)
    wanted = np.array([3, 0, 1])
    np.testing.assert_array_equal(read_rows(derived, wanted), np.array(derived)[wanted])
    if isinstance(derived, MappedRows):
        assert derived.file is None or np.shares_memory(derived, rows_of_a_map)


@pytest.mark.parametrize("view", [lambda x: x[10:500], lambda x: x[::3], lambda x: x[:, :2]])
def test_views_of_a_map_are_read_from_its_file(rows_of_a_map, view) -> None:
    seen, wanted = view(rows_of_a_map), np.array([3, 0, 100])
    assert seen.file_offset() is not None
    np.testing.assert_array_equal(read_rows(seen, wanted), np.array(seen)[wanted])


def test_a_system_that_reads_a_few_bytes_at_a_time_gives_the_same_rows(
    rows_of_a_map, monkeypatch
) -> None:
    whole, wanted = os.preadv, np.array([7, 3, 999])
    expected = np.array(rows_of_a_map)[wanted]
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: whole(fd, [into[0][:5]], at))
    np.testing.assert_array_equal(read_rows(rows_of_a_map, wanted), expected)


def test_a_file_that_was_cut_is_an_error_and_never_zeros(rows_of_a_map) -> None:
    os.truncate(rows_of_a_map.file.name, 8000)
    with pytest.raises(BadInput, match="the file ends before byte 16,112"):
        read_rows(rows_of_a_map, np.array([3, 0, 999]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_by_their_row(dtype, value) -> None:
    x = np.ones((20, 3), dtype=dtype)
    require_finite(x, slice(100, 120))
    x[7, 1] = value
    with pytest.raises(BadInput, match=rf"row 107 of the vectors: the vector holds {value}"):
        require_finite(x, slice(100, 120))
    with pytest.raises(BadInput, match="row 70 of"):
        require_finite(x, np.arange(0, 200, 10))


def test_large_finite_values_are_no_mistake() -> None:
    require_finite(np.full((4, 4), np.finfo(np.float32).max), slice(0, 4))
    require_finite(np.array([[1, 2]]), slice(0, 1))


@pytest.mark.parametrize(
    ("text", "bound", "expected"),
    [
        ("max 100000", 6, 6),
        ("150000 100000", 6, 2),
        ("50000 100000", 6, 1),
        ("900000 100000", 6, 6),
        ("", 3, 3),
    ],
)
def test_cores_are_those_that_the_process_may_use(
    tmp_path, monkeypatch, text, bound, expected
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert usable_cores(tmp_path / "cpu.max") == expected
    assert usable_cores(tmp_path / "missing") == bound


@given(st.lists(st.integers(), max_size=8))
def test_one_behind_yields_an_item_when_the_next_one_has_been_made(items) -> None:
    made = []

    def making():
        for item in items:
            made.append(item)
            yield item

    seen = [(item, len(made)) for item in one_behind(making())]
    assert seen == [(item, min(i + 2, len(items))) for i, item in enumerate(items)]


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_one_thread_ends_with_what_was_there_also_after_an_error(three_threads) -> None:
    with pytest.raises(ValueError, match="inside"), one_thread(), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("inside")
    assert torch.get_num_threads() == 3


def test_one_thread_in_several_threads_is_one_in_each_and_then_what_was_there(
    three_threads,
) -> None:
    """This thread begins, the other begins, this one ends, the other computes on and ends."""
    seen, began, go_on = [], threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            seen.append(torch.get_num_threads())
            began.set()
            go_on.wait(10)
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        assert began.wait(10)
    seen.append(torch.get_num_threads())  # the other one still needs one
    go_on.set()
    thread.join()
    with one_thread():
        seen.append(torch.get_num_threads())
    assert seen == [1, 1, 1, 3, 1]
    assert torch.get_num_threads() == 3


def test_torch_computes_on_one_thread_in_each_thread_that_shares_out_work(three_threads) -> None:
    """A thread has a number of its own: that of the thread that asks for the work is another."""
    seen = list(in_threads(lambda _: torch.get_num_threads(), range(20)))
    assert seen == [1] * 20 and torch.get_num_threads() == 3
    with one_thread():
        assert list(in_threads(lambda _: torch.get_num_threads(), range(20))) == [1] * 20
    assert torch.get_num_threads() == 3


def test_many_threads_at_once_leave_the_number_as_it_was(three_threads) -> None:
    seen, start = [], threading.Barrier(4)

    def calls() -> None:
        start.wait()
        for _ in range(200):
            with one_thread():
                seen.append(torch.get_num_threads())

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh: list[int] = []
    last = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    last.start()
    last.join()
    assert seen == [1] * 800 and fresh == [3] and torch.get_num_threads() == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what gives memory back is glibc's")
def test_memory_that_was_freed_goes_back_to_the_system():
    kept = [bytearray(100_000) for _ in range(2000)]
    on_top = bytearray(100_000)  # without it the last of them would be given back by itself
    kept.clear()
    before = resident()
    trim_memory()
    assert resident() < before - 100e6 and on_top


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
