"""Rows of an array or memory map to a device and results back, chunk by chunk.

On a GPU a thread reads the next chunk into one of two page-locked buffers and sends it off on a
stream of its own, while the GPU computes on the chunk before; results are fetched one chunk later.
So the time of a pass is that of the slowest of reading, sending and computing, and not their sum.
float16 is sent as it is and widened on the GPU, which halves what is sent. On a CPU nothing is
sent: each thread reads and computes its own chunks (`threads`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import (
    chunks,
    one_behind,
    prefetch,
    read_rows,
    release,
    require_finite,
    usable_cores,
)
from semantic_ids.compute.devices import full_precision
from semantic_ids.compute.threads import chunk_rows, each_chunk
from semantic_ids.progress import Progress

Item = TypeVar("Item")
Rows = slice | np.ndarray
"""Rows of an array: a slice without a step, or row numbers."""
Work = Callable[[Tensor, slice], Sequence[Tensor]]
"""Makes results of rows on the device; the slice says which rows of all they are."""

SENT_AS_THEY_ARE = (np.float16, np.float32, np.int32, np.int64)
"""What the device widens itself; all else is converted before it is sent."""
BUFFERS = 2
READERS, READ_ROWS = 8, 1024
"""Threads that fill a buffer, and the rows that each copies at a time: one thread alone is slower
than the way to the GPU."""


class Transfer:
    """The way to a GPU and back: a stream of its own for what is sent, beside that of the
    computations.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.device = (
            self.stream.device
        )  # with its number: which device is the current one differs from thread to thread

    def buffer(self, rows: int, width: int, dtype: torch.dtype) -> Tensor:
        """Allocate host memory that the GPU reads by itself."""
        with torch.cuda.device(self.device):
            return torch.empty((rows, width), dtype=dtype, pin_memory=True)

    def send(self, rows: Tensor) -> tuple[Tensor, torch.cuda.Event]:
        """Begin to copy rows of a buffer; the event is that they have been copied."""
        with torch.cuda.stream(self.stream):
            return rows.to(self.device, non_blocking=True), self.stream.record_event()

    def receive(self, rows: Tensor, copied: torch.cuda.Event) -> Tensor:
        """Let the computations that follow wait for a copy, and its memory for them."""
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(copied)
        rows.record_stream(computing)
        return rows

    def fetch(self, results: Sequence[Tensor]) -> tuple[list[Tensor], torch.cuda.Event]:
        """Begin to copy results into page-locked host memory; the event is that they are there."""
        fetched = [result.contiguous().to("cpu", non_blocking=True) for result in results]
        return fetched, torch.cuda.current_stream(self.device).record_event()


def send_numbers(numbers: np.ndarray, device: torch.device) -> Tensor:
    """Bring a few numbers to a device without waiting for it: a GPU takes them from page-locked
    memory when it gets there.
    """
    here = torch.from_numpy(numbers)
    if device.type == "cuda":
        here = here.pin_memory()
    return here.to(device, non_blocking=True)


def streamed(
    array: np.ndarray,
    parts: Sequence[Rows],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Generator[Tensor, None, None]:
    """Yield the rows of each part on the device, while the next part is read and sent.

    Args:
        array: Shape (n, D), an array or a memory map.
        parts: Slices or arrays of row numbers.
        device: Where the rows are wanted.
        dtype: What they are widened to.
    """
    if device.type == "cpu":
        for rows in parts:
            yield _in_memory(array, rows, dtype)
    else:
        yield from prefetched(array, parts, Transfer(device), dtype)


def load_rows(
    array: np.ndarray,
    rows: np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    device: torch.device,
    width: int,
) -> Tensor:
    """Prepare rows and hold them on the device: (m,) row numbers → (m, W) float32."""
    kept = torch.empty((len(rows), width), device=device)
    parts = list(chunks(len(rows)))
    with closing(streamed(array, [rows[part] for part in parts], device)) as read:
        for part, x in zip(parts, read, strict=True):
            kept[part] = prepare(x)
    return kept


def prefetched(
    array: np.ndarray, parts: Sequence[Rows], transfer: Transfer, dtype: torch.dtype
) -> Generator[Tensor, None, None]:
    """Yield the rows of each part, read and sent by a thread that is one part ahead."""
    if len(parts) < 2:  # there is nothing to send it beside
        for part in parts:
            yield _in_memory(array, part, dtype).to(transfer.device)
        return
    with closing(_sent(array, parts, transfer, dtype)) as sent, closing(prefetch(sent)) as arriving:
        for rows, copied in arriving:
            yield transfer.receive(rows, copied).to(dtype)


def _sent(
    array: np.ndarray, parts: Sequence[Rows], transfer: Transfer, dtype: torch.dtype
) -> Generator[tuple[Tensor, torch.cuda.Event], None, None]:
    """Read parts into the buffers by turns and send them.

    A buffer is filled again only when what it held has been copied.
    """
    kind = array.dtype if array.dtype in SENT_AS_THEY_ARE else _numpy(dtype)
    most = max(_count(rows) for rows in parts)
    buffers = [transfer.buffer(most, array.shape[1], _torch(kind)) for _ in range(BUFFERS)]
    copies: list[torch.cuda.Event] = []
    with ThreadPoolExecutor(min(READERS, usable_cores())) as readers:
        for number, rows in enumerate(parts):
            if number >= BUFFERS:
                copies[number - BUFFERS].synchronize()
            buffer = buffers[number % BUFFERS][: _count(rows)]
            _read(array, rows, buffer.numpy(), readers)
            there, copied = transfer.send(buffer)
            copies.append(copied)
            yield there, copied


def transform_rows(
    work: Work,
    inputs: np.ndarray,
    outputs: Sequence[np.ndarray],
    device: torch.device,
    width: int,
    dtype: torch.dtype = torch.float32,
    progress: Progress | None = None,
) -> None:
    """Fill the rows of each output with what the work makes of the rows of the input, without
    gradients.

    Args:
        work: Takes a chunk on the device and returns a tensor for each output; rows beyond those of
            the chunk are cut off.
        inputs: Shape (n, D), an array or a memory map.
        outputs: Arrays with n rows each.
        device: Where to compute.
        width: Numbers held for a row in the widest table: see `threads.chunk_rows`.
        dtype: What the inputs are widened to.
        progress: Advances by the rows whose results are there.
    """
    advance = progress.advance if progress else lambda rows: None
    if device.type == "cpu":

        def chunk(part: slice) -> None:
            _write(outputs, part, work(_in_memory(inputs, part, dtype), part))

        each_chunk(chunk, len(inputs), device, done=advance)
        return
    parts = list(chunks(len(inputs), chunk_rows(device, width)))
    transfer = Transfer(device)
    with (
        torch.no_grad(),
        full_precision(device),
        closing(prefetched(inputs, parts, transfer, dtype)) as arriving,
    ):
        results = (
            (part, *transfer.fetch(work(rows, part)))
            for part, rows in zip(parts, arriving, strict=True)
        )
        for part, fetched, there in one_behind(results):  # meanwhile the device has work
            there.synchronize()
            _write(outputs, part, fetched)
            advance(part.stop - part.start)


def _write(outputs: Sequence[np.ndarray], part: slice, results: Sequence[Tensor]) -> None:
    """Write results, without the rows that a chunk was filled up with."""
    for output, result in zip(outputs, results, strict=True):
        output[part] = result[: part.stop - part.start].numpy()


def _read(array: np.ndarray, rows: Rows, into: np.ndarray, readers: Executor) -> None:
    """Copy rows into a buffer, those that follow each other with several threads, and release the
    pages they came from.
    """
    if not isinstance(rows, slice):
        into[:] = read_rows(array, rows, into.dtype)
        require_finite(into, rows)
        return
    source = array[rows]

    def copy(piece: slice) -> None:
        np.copyto(into[piece], source[piece], casting="same_kind")
        require_finite(into[piece], slice(rows.start + piece.start, rows.start + piece.stop))

    list(readers.map(copy, chunks(len(into), READ_ROWS)))
    release(array)


def _in_memory(array: np.ndarray, rows: Rows, dtype: torch.dtype) -> Tensor:
    found = read_rows(array, rows, _numpy(dtype))
    require_finite(found, rows)
    return torch.from_numpy(found)


def _count(rows: Rows) -> int:
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _numpy(dtype: torch.dtype) -> np.dtype:
    return torch.empty(0, dtype=dtype).numpy().dtype


def _torch(dtype: np.dtype) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
