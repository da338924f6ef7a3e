"""What a training is told to do: the part of it that the loop does not know.

A task holds a network and its data. The loop (`loop.Loop`) calls it in this order:

    start(1) → begin(1) → step × batches → summary → validate(1) → start(2) → …

and keeps, restores and saves `module` and `state()` between the calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from semantic_ids.compute.streaming import send_numbers
from semantic_ids.learning.optimizers import Part

Batch = Any
"""A tensor, a tuple of tensors, whose first dimension is that of the items, or what is
`Divisible`."""


class Batches(Protocol):
    """The data of a training, by the positions of its items."""

    def __len__(self) -> int:
        """Return how many items there are."""
        ...

    def batches(self, windows: Iterator[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, Batch]]:
        """Yield positions and data of each batch of each window."""
        ...


class Held:
    """Data that is held: one or more tensors of n items each, on the device.

    With one tensor a batch is a tensor, with several a tuple of them.
    """

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batches(self, windows: Iterator[list[np.ndarray]]) -> Iterator[tuple[np.ndarray, Batch]]:
        """Yield positions and data of each batch of each window."""
        for window in windows:
            for batch in window:
                at = send_numbers(batch, self.tensors[0].device)
                found = tuple(tensor[at] for tensor in self.tensors)
                yield batch, found if len(found) > 1 else found[0]


@runtime_checkable
class Divisible(Protocol):
    """A batch that says itself how it is cut into parts: evenly by what each costs, for one."""

    def in_parts(self, positions: np.ndarray, parts: int) -> Sequence[tuple[np.ndarray, Batch]]:
        """Cut into at most so many parts, with the positions of the items of each."""
        ...


def split(batch: Batch, parts: int) -> Sequence[Batch]:
    """Cut a batch into so many parts, as even as can be; some may be empty."""
    if isinstance(batch, tuple):
        return list(zip(*(tensor.tensor_split(parts) for tensor in batch), strict=True))
    return batch.tensor_split(parts)


def parts_of(positions: np.ndarray, batch: Batch, parts: int) -> Sequence[tuple[np.ndarray, Batch]]:
    """Cut a batch into so many parts, each with the positions of its items."""
    if isinstance(batch, Divisible):
        return batch.in_parts(positions, parts)
    return list(zip(np.array_split(positions, parts), split(batch, parts), strict=True))


@dataclass
class Outcome:
    """What the validation of an epoch found.

    Attributes:
        values: Columns of the history.
        score: The lower, the better; None where this epoch is not to be kept.
        constraint: A second number, the lower, the better: only epochs within a tolerance of the
            lowest seen are kept.
        supersedes: Whether no earlier epoch is to be kept: they were taught something else.
    """

    values: dict[str, Any]
    score: float | None = None
    constraint: float = 0.0
    supersedes: bool = False


class Task(Protocol):
    """A network, its data, its loss, and the validation of its epochs."""

    @property
    def name(self) -> str:
        """What errors name: `tokenizer.rq_vae`."""
        ...

    @property
    def module(self) -> nn.Module:
        """The network."""
        ...

    @property
    def data(self) -> Batches:
        """What it learns from, in every process all of it."""
        ...

    @property
    def losses(self) -> Sequence[str]:
        """Names of the numbers that a step sums."""
        ...

    @property
    def finish(self) -> int:
        """How many of the last epochs are run even where patience has ended the others."""
        ...

    @property
    def has_unused(self) -> bool:
        """Whether some parameters may get no gradient in the coming epoch."""
        ...

    @property
    def phase(self) -> str:
        """What kind of epoch the one is that has begun: see `history.Phase`."""
        ...

    def parts(self) -> Sequence[Part]:
        """Return the parts of the network, with their rates."""
        ...

    def start(self, epoch: int) -> bool:
        """Make ready what an epoch needs, and say whether to validate before its first step."""
        ...

    def begin(self, epoch: int, seed: int) -> None:
        """Begin an epoch: from here to the end of its last step, all that is drawn follows from the
        seed, which is another one in each process. torch's own generator has it already.
        """
        ...

    def step(
        self, model: nn.Module, positions: np.ndarray, batch: Batch, progress: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss summed over the items of a part of a batch, and the sums of `losses`.

        Nothing here should wait for a GPU.

        Args:
            model: `module`, wrapped where several processes train.
            positions: Which items these are, (m,).
            batch: Their data.
            progress: Number of the step, and of all steps of the training.
        """
        ...

    def summary(self, means: Mapping[str, float]) -> dict[str, Any]:
        """Return the columns of the history for the steps of an epoch.

        Must have `loss`, of `losses` as means over the items.
        """
        ...

    def validate(self, epoch: int) -> Outcome:
        """Measure the network as it is, in full precision."""
        ...

    def finished(self) -> None:
        """Hear that the weights of the epoch to keep are loaded, the training is over."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the module, JSON-like."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; the weights of the module are loaded already."""
        ...

    def describe(self, row: Mapping[str, Any]) -> str:
        """Write what a log says of a row of the history."""
        ...
