"""Stretches of histories that a network learns from.

Every event that is a target of the training is one in exactly one window, with at most `length`
events before it. A user of more events has several windows, each of which goes on where the targets
of the one before end, and begins so far back that its last target has `length` events before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import stretches
from semantic_ids.learning.layers import uniform
from semantic_ids.recommenders.histories import Histories

CPU = torch.device("cpu")


@dataclass
class WindowBatch:
    """Some windows.

    Attributes:
        inputs: Shape (b, T), int64: rows of items in order, padded on the right with −1.
        targets: Shape (b, T), int64: the item that comes next, −1 where it is no target.
        lengths: How many inputs each has, (b,), on the host.
    """

    inputs: Tensor
    targets: Tensor
    lengths: np.ndarray

    def in_parts(self, positions: np.ndarray, parts: int) -> list[tuple[np.ndarray, WindowBatch]]:
        """Cut into at most so many parts that hold about as many inputs each.

        Windows of like length are together, so little is padded. The longest come first: threads
        that take part after part are ready at about the same time.
        """
        if not len(positions):
            return [(positions, self)]
        order = np.argsort(-self.lengths, kind="stable")
        inputs = np.cumsum(self.lengths[order])
        ends = np.searchsorted(inputs, inputs[-1] * np.arange(1, parts + 1) / parts) + 1
        ends = np.unique(np.minimum(ends, len(order)))
        return [(positions[at], self._at(at)) for at in np.split(order, ends[:-1])]

    def ahead(self, chance: float) -> WindowBatch:
        """Replace targets by later ones of their window, by chance.

        Each is replaced by the one after it with this chance, again and again; the last stays.
        """
        following = torch.where(self.inputs.roll(-1, 1) >= 0, self.inputs.roll(-1, 1), self.targets)
        following[:, -1] = self.targets[:, -1]
        drawn = uniform(self.targets.shape, self.targets.device).clamp_min(2**-32)
        steps = (drawn.log() / math.log(chance)).long()
        last = torch.from_numpy(self.lengths - 1).to(steps.device)[:, None]
        place = torch.arange(self.targets.shape[1], device=steps.device)
        found = following.gather(1, torch.minimum(place + steps, last))
        return replace(self, targets=torch.where(self.targets >= 0, found, -1))

    def _at(self, rows: np.ndarray) -> WindowBatch:
        longest = int(self.lengths[rows].max())
        at = torch.from_numpy(rows).to(self.inputs.device)
        return WindowBatch(
            self.inputs[at, :longest], self.targets[at, :longest], self.lengths[rows]
        )


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows over the events of histories: see `learning.task.Batches`.

    Attributes:
        items: All events, (m,): rows of items, an array or a memory map.
        begins: Position of the first input of each window, (w,) int64.
        firsts: Position of its first target.
        ends: Position after its last target: its last input is at `ends − 2`.
        device: Where batches are wanted.
    """

    items: np.ndarray
    begins: np.ndarray
    firsts: np.ndarray
    ends: np.ndarray
    device: torch.device = CPU

    def __len__(self) -> int:
        return len(self.begins)

    @property
    def targets(self) -> int:
        """How many targets all windows have."""
        return int((self.ends - self.firsts).sum())

    def at(self, rows: np.ndarray) -> WindowBatch:
        """Return some windows: (b,)."""
        begins, firsts, ends = self.begins[rows], self.firsts[rows], self.ends[rows]
        lengths = ends - 1 - begins
        positions = begins[:, None] + np.arange(int(lengths.max(initial=1)))
        there = positions < ends[:, None] - 1
        inputs, targets = np.full(there.shape, -1), np.full(there.shape, -1)
        inputs[there] = self.items[positions[there]]
        aimed = there & (positions >= firsts[:, None] - 1)
        targets[aimed] = self.items[positions[aimed] + 1]
        return WindowBatch(self._send(inputs), self._send(targets), lengths)

    def batches(
        self, windows: Iterator[list[np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, WindowBatch]]:
        """Yield positions and data of each batch of each window of batches."""
        for several in windows:
            for rows in several:
                yield rows, self.at(rows)

    def _send(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def windows_of(histories: Histories, length: int, step: int, device: torch.device = CPU) -> Windows:
    """Return windows of many targets, for networks that predict at every place.

    Args:
        histories: The events.
        length: Most events before a target.
        step: Targets of a window that goes on with a user of more events, at most `length`; it has
            at least `length − step + 1` events before its first.
        device: Where batches are wanted.
    """
    starts, ends, step = histories.starts[:-1], histories.cuts[:, 0], min(step, length)
    targets = np.maximum(ends - starts - 1, 0)
    counts = (targets > 0) + -(-np.maximum(targets - length, 0) // step)
    users = np.repeat(np.arange(len(counts)), counts)
    numbers = stretches(np.zeros_like(counts), counts)
    last = np.minimum(length + numbers * step, targets[users])  # targets up to this window's end
    first = np.where(numbers == 0, 0, length + (numbers - 1) * step)
    return Windows(
        histories.items,
        starts[users] + np.maximum(last - length, 0),
        starts[users] + 1 + first,
        starts[users] + 1 + last,
        device,
    )


def single_targets(histories: Histories, length: int, device: torch.device = CPU) -> Windows:
    """Return a window for each target, for networks that predict one item at a time."""
    positions = histories.targets("train")
    starts = histories.starts[histories.user_of(positions)]
    return Windows(
        histories.items,
        np.maximum(starts, positions - length),
        positions,
        positions + 1,
        device,
    )
