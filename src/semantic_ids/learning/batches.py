"""Rows of the training: in memory or on the device where they fit, else read from the map while
others are worked on.

The order is drawn from blocks of rows that follow each other in the file: blocks come in random
order, as many as a buffer holds are read together, and the rows of the buffer are shuffled. So a
map is read in long runs. It costs no randomness: rows lie in the order of the item hash, so a block
is a random sample already. The order is the same whether rows are held or read, and however many
processes share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks, prefetch, read_rows, require_finite
from semantic_ids.compute.streaming import Transfer, load_rows, send_numbers, streamed

HELD_BYTES = 512 << 20
"""Prepared rows up to this size are held in memory."""
DEVICE_SHARE = 0.5
"""Of the free memory of a GPU, so much may be taken by rows that are held there."""
BLOCK_ROWS = 256
"""Rows that are read together: 768 KB of 768 dimensions."""
BUFFER_ROWS = 1 << 15
"""Rows that are shuffled together."""
DENSE = 0.5
"""Where at least this share of a run of rows is wanted, the whole run is read."""

Prepare = Callable[[Tensor], Tensor]
"""Prepares rows on the device: (m, D) → (m, W)."""


class Rows:
    """Prepared rows of an array, by their positions among those wanted.

    Args:
        vectors: Shape (n, D), an array or a memory map.
        rows: Ascending row numbers.
        prepare: What is done to them.
        device: Where they are wanted.
        width: Width W of prepared rows.
        hold: Whether they are held where they fit.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        rows: np.ndarray,
        prepare: Prepare,
        device: torch.device,
        width: int,
        *,
        hold: bool = True,
    ) -> None:
        self.vectors, self.rows, self.prepare, self.device = vectors, rows, prepare, device
        self.held: Tensor | None = None
        if hold and len(rows) * width * 4 <= _room(device):
            self.held = load_rows(vectors, rows, prepare, device, width)

    def __len__(self) -> int:
        return len(self.rows)

    def in_order(self, share: slice) -> Iterator[Tensor]:
        """Yield chunks of all rows in order.

        Of several processes, each takes every so many: `slice(number, None, count)`.
        """
        parts = list(chunks(len(self)))[share]
        if self.held is not None:
            yield from (self.held[part] for part in parts)
            return
        with closing(
            streamed(self.vectors, [self.rows[part] for part in parts], self.device)
        ) as read:
            yield from (self.prepare(x) for x in read)

    def at(self, positions: np.ndarray) -> Tensor:
        """Return the rows at some positions."""
        if self.held is not None:
            return self.held[send_numbers(positions, self.device)]
        return self.prepare(torch.from_numpy(self._read(positions)).to(self.device))

    def batches(self, windows: Iterator[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield the positions and rows of each batch.

        Those of a window are read together, while the ones before are worked on.
        """
        if self.held is not None:
            for window in windows:
                yield from ((batch, self.at(batch)) for batch in window)
            return
        transfer = None if self.device.type == "cpu" else Transfer(self.device)
        with closing(
            prefetch((window, *self._sent(window, transfer)) for window in windows)
        ) as arriving:
            for window, rows, copied in arriving:
                there = transfer.receive(rows, copied) if transfer and copied else rows
                for batch, x in zip(
                    window, there.split([len(batch) for batch in window]), strict=True
                ):
                    yield batch, self.prepare(x)

    def _sent(
        self, window: list[np.ndarray], transfer: Transfer | None
    ) -> tuple[Tensor, torch.cuda.Event | None]:
        """Read the rows of a window and begin to send them, on a GPU from page-locked memory beside
        its computations.
        """
        found = torch.from_numpy(self._read(np.concatenate(window)))
        if transfer is None:
            return found, None
        buffer = transfer.buffer(len(found), found.shape[1], found.dtype)
        return transfer.send(buffer.copy_(found))

    def _read(self, positions: np.ndarray) -> np.ndarray:
        """Read rows in the order of the file, and give them back in that of the positions.

        (m,) → (m, D) float32.
        """
        order = np.argsort(positions, kind="stable")
        wanted = self.rows[positions[order]]
        found = np.empty((len(positions), self.vectors.shape[1]), dtype=np.float32)
        for run in _runs(wanted):
            first, last = int(wanted[run.start]), int(wanted[run.stop - 1])
            if last - first < (run.stop - run.start) / DENSE:
                found[order[run]] = read_rows(self.vectors, slice(first, last + 1))[
                    wanted[run] - first
                ]
            else:
                found[order[run]] = read_rows(self.vectors, wanted[run])
        require_finite(found, self.rows[positions])
        return found


def _runs(wanted: np.ndarray) -> Iterator[slice]:
    """Cut ascending row numbers where there is a gap of a block or more, and into pieces of a
    chunk.
    """
    gaps = np.flatnonzero(np.diff(wanted) > BLOCK_ROWS) + 1
    for start, stop in zip([0, *gaps], [*gaps, len(wanted)], strict=True):
        for piece in chunks(int(stop - start)):
            yield slice(int(start) + piece.start, int(start) + piece.stop)


def _room(device: torch.device) -> int:
    return (
        int(DEVICE_SHARE * torch.cuda.mem_get_info(device)[0])
        if device.type == "cuda"
        else HELD_BYTES
    )


def batch_sizes(count: int, batch_rows: int) -> np.ndarray:
    """Return the rows of each batch of an epoch.

    As few batches as can be, as even as can be, so that none is of a few rows only.
    """
    steps = -(-count // batch_rows)
    return np.diff(np.arange(steps + 1) * count // steps)


def shuffled(count: int, batch_rows: int, generator: torch.Generator) -> Iterator[list[np.ndarray]]:
    """Yield windows of batches that together hold each position below `count` once, in a fresh
    random order.

    Args:
        count: How many rows there are.
        batch_rows: Rows of a batch at most.
        generator: CPU generator of the order.
    """
    sizes = batch_sizes(count, batch_rows)
    steps, bounds = len(sizes), np.concatenate([[0], np.cumsum(sizes)])
    together = max(1, BUFFER_ROWS // batch_rows)
    blocks = list(chunks(count, BLOCK_ROWS))
    order = _positions(
        [blocks[number] for number in torch.randperm(len(blocks), generator=generator).tolist()]
    )
    left = np.zeros(0, np.int64)
    for first in range(0, steps, together):
        last = min(first + together, steps)
        need = int(bounds[last] - bounds[first])
        while len(left) < need:
            left = np.concatenate([left, next(order)])
        window, left = left[:need], left[need:]
        window = window[torch.randperm(need, generator=generator).numpy()]
        yield np.split(window, bounds[first + 1 : last] - bounds[first])


def _positions(blocks: Sequence[slice]) -> Iterator[np.ndarray]:
    """Yield the positions of blocks, a buffer of them at a time."""
    for several in chunks(len(blocks), BUFFER_ROWS // BLOCK_ROWS):
        yield np.concatenate([np.arange(block.start, block.stop) for block in blocks[several]])


def own_share(windows: Iterator[list[np.ndarray]], share: slice) -> Iterator[list[np.ndarray]]:
    """Take one process's part of every batch."""
    return ([batch[share] for batch in window] for window in windows)
