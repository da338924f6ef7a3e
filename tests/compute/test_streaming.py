"""Rows to the device and results back, with lanes whose copies are made as late as they may be."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.test_arrays import resident_kb
from tests.tokenizers.pretend import GPU, LateTransfer, pretend_gpu

from semantic_ids.arrays import chunks, map_rows
from semantic_ids.compute.streaming import BUFFERS, prefetched, streamed, transform_rows
from semantic_ids.compute.threads import GPU_ROWS, WORKER_ROWS, chunk_rows
from semantic_ids.progress import Progress

CPU = torch.device("cpu")
N, DIM = 5000, 7


@pytest.fixture(params=["float32", "float16", "float64", ">f4", "int64"])
def array(request):
    return (np.random.default_rng(0).normal(size=(N, DIM)) * 100).astype(request.param)


def parts(kind):
    """Three chunks and a short one; or rows here and there."""
    if kind == "slices":
        return list(chunks(N, 1537))
    return list(np.split(np.random.default_rng(1).permutation(N), [1500, 1501, 4000]))


@pytest.fixture
def transfer():
    return LateTransfer(CPU)


@pytest.fixture
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("kind", ["slices", "numbers"])
def test_rows_come_in_order_as_float32_wherever_they_are_wanted(array, transfer, kind):
    expected = [array[part].astype(np.float32) for part in parts(kind)]
    for arriving in (
        streamed(array, parts(kind), CPU),
        prefetched(array, parts(kind), transfer, torch.float32),
    ):
        found = [rows.clone() for rows in arriving]
        assert [rows.dtype for rows in found] == [torch.float32] * 4
        for rows, here in zip(found, expected, strict=True):
            np.testing.assert_array_equal(rows.numpy(), here)
    assert transfer.sent == 4 and len(transfer.buffers) == BUFFERS


def test_what_the_device_can_widen_is_sent_as_it_is(array, transfer):
    list(prefetched(array, parts("slices"), transfer, torch.float32))
    sent = {"float16": torch.float16, "int64": torch.int64}.get(str(array.dtype), torch.float32)
    assert {buffer.dtype for buffer in transfer.buffers} == {sent}


def test_integers_arrive_as_integers(transfer):
    codes = np.arange(3 * N, dtype=np.int32).reshape(N, 3) + (1 << 25)  # no float32 holds these
    rows = torch.cat(list(prefetched(codes, parts("slices"), transfer, torch.int64)))
    np.testing.assert_array_equal(rows.numpy(), codes)


@pytest.mark.parametrize("few", [[], [slice(10, 12)]])
def test_a_single_part_and_none_need_no_lane(few, transfer):
    array = np.ones((N, DIM), np.float32)
    assert [rows.shape for rows in prefetched(array, few, transfer, torch.float32)] == [
        (2, DIM)
    ] * len(few)
    assert not transfer.buffers


class FarAhead(LateTransfer):
    """Hands rows on before they are there, as a GPU whose computations wait in turn."""

    def __init__(self) -> None:
        super().__init__(CPU)
        self.moments = []

    def send(self, rows):
        there, copied = super().send(rows)
        self.moments.append(copied)
        return there, copied

    def receive(self, rows, copied):
        return rows


def test_no_buffer_is_filled_before_what_it_held_has_been_copied():
    transfer, array = FarAhead(), np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)
    found = list(prefetched(array, list(chunks(N, 600)), transfer, torch.float32))
    assert [moment.waited for moment in transfer.moments] == [1] * (len(found) - BUFFERS) + [
        0
    ] * BUFFERS
    for moment in transfer.moments:
        moment.synchronize()
    np.testing.assert_array_equal(torch.cat(found).numpy(), array)


def test_an_error_while_reading_comes_in_its_place(transfer, no_thread_left):
    array = np.ones((N, DIM), np.float32)
    arriving = prefetched(
        array,
        [np.arange(10), np.arange(20), np.array([1, N]), np.arange(5)],
        transfer,
        torch.float32,
    )
    assert [len(next(arriving)), len(next(arriving))] == [10, 20]
    with pytest.raises(IndexError):
        next(arriving)


@pytest.mark.parametrize("ending", ["close", "error", "interrupt", "forgotten"])
def test_who_stops_early_leaves_no_thread_behind(transfer, ending, no_thread_left):
    arriving = prefetched(
        np.ones((N, DIM), np.float32), list(chunks(N, 10)), transfer, torch.float32
    )
    next(arriving)
    if ending == "close":
        arriving.close()
    elif ending == "forgotten":
        del arriving
    else:
        error = KeyboardInterrupt if ending == "interrupt" else ValueError
        with pytest.raises(error):
            arriving.throw(error)
    assert transfer.sent <= 2


def test_an_interrupt_while_waiting_for_rows_is_the_callers_and_no_thread_is_left(
    transfer, monkeypatch, no_thread_left
):
    def interrupt(*_):
        raise KeyboardInterrupt

    def slow(rows):
        time.sleep(0.2)
        return LateTransfer.send(transfer, rows)

    monkeypatch.setattr(transfer, "send", slow)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            list(
                prefetched(
                    np.ones((N, DIM), np.float32), list(chunks(N, 10)), transfer, torch.float32
                )
            )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert transfer.sent <= 2


@pytest.mark.skipif(
    not Path("/proc/self/smaps").exists(), reason="only Linux tells the resident pages of a mapping"
)
@pytest.mark.parametrize("open_map", [map_rows, lambda path: np.load(path, mmap_mode="r")])
def test_pages_are_given_back(transfer, tmp_path, open_map):
    np.save(tmp_path / "rows.npy", np.ones((50_000, 32), np.float32))
    mapped = open_map(tmp_path / "rows.npy")
    for _ in prefetched(mapped, list(chunks(50_000, 20_000)), transfer, torch.float32):
        assert (
            resident_kb(mapped) < 6000
        )  # of 6,250: that the next chunk is being read at the time is fine
    assert resident_kb(mapped) == 0


def squares(x, part):
    """Two results for a chunk, one of them longer than the chunk."""
    return torch.cat([x * x, x[:1]]), x.sum(1) + torch.arange(part.start, part.stop).to(x.device)


@pytest.mark.parametrize("n", [0, 1, 10, 25])
@pytest.mark.parametrize("device", [CPU, GPU])
def test_results_are_written_where_their_rows_are(monkeypatch, device, n):
    monkeypatch.setattr("semantic_ids.compute.threads.GPU_ROWS", 10)
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    first, second = np.full((n, 3), -1, np.float32), np.full(n, -1, np.float64)
    with pretend_gpu(monkeypatch):
        transform_rows(squares, x, [first, second], device, width=1)
    np.testing.assert_array_equal(first, x * x)
    np.testing.assert_allclose(second, x.sum(1) + np.arange(n), rtol=1e-6)


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("threads", [1, 2])
def test_progress_hears_of_every_chunk_whose_results_are_there(monkeypatch, device, threads):
    n, heard = 3 * WORKER_ROWS + 5, []
    monkeypatch.setattr("semantic_ids.compute.threads.GPU_ROWS", WORKER_ROWS)
    inputs, output, sums = np.ones((n, 2), np.float32), np.zeros((n, 2), np.float32), np.zeros(n)

    class Bar(Progress):
        def advance(self, amount=1):
            super().advance(amount)
            heard.append((amount, threading.current_thread(), output[: self.done].all()))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pretend_gpu(monkeypatch), Bar("encode", n) as progress:
            transform_rows(squares, inputs, [output, sums], device, 2, progress=progress)
    finally:
        torch.set_num_threads(before)
    assert heard == [(rows, threading.main_thread(), True) for rows in (*3 * [WORKER_ROWS], 5)]


@pytest.mark.parametrize("device", [CPU, GPU])
def test_an_error_of_the_work_is_the_callers_and_no_thread_is_left(
    monkeypatch, device, no_thread_left
):
    monkeypatch.setattr("semantic_ids.compute.threads.GPU_ROWS", 10)

    def work(x, part):
        raise ValueError(f"at {part.start}")

    with pretend_gpu(monkeypatch), pytest.raises(ValueError, match="at 0"):
        transform_rows(work, np.ones((100, 3), np.float32), [np.empty(100)], device, width=1)


def test_work_is_without_gradients(monkeypatch):
    weight = torch.ones(3, requires_grad=True)
    out = np.empty((5, 3), np.float32)
    transform_rows(lambda x, _: [x * weight], np.ones((5, 3), np.float32), [out], CPU, width=1)
    assert (out == 1).all()


def test_chunks_on_a_gpu_are_large_but_for_wide_tables():
    sizes = [chunk_rows(GPU, width) for width in (1, 768, 4096, 1 << 20, 1 << 30)]
    assert sizes[0] == GPU_ROWS and sizes == sorted(sizes, reverse=True) and sizes[-1] == 1
    assert {chunk_rows(CPU, width) for width in (1, 1 << 30)} == {WORKER_ROWS}
