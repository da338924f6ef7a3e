"""The gradients of a batch.

On a CPU threads that share every product wait for each other at each, and a batch of short
sequences is thousands of small products. So a batch may be cut into parts there, each of which is
one thread's from its input to its gradients, which are then added in the order of the parts. The
parts are the same with any number of threads, and so is each bit of the sum. What is drawn at
random within a part follows from a seed of its own (`layers.drawing`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.threads import each_part
from semantic_ids.learning import distributed
from semantic_ids.learning.layers import drawing
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.precision import autocast
from semantic_ids.learning.task import Batch, Task, parts_of


def in_turn(
    task: Task,
    plan: Plan,
    model: nn.Module,
    positions: np.ndarray,
    batch: Batch,
    size: int,
    progress: tuple[int, int],
) -> Tensor:
    """Add up the gradients of `plan.accumulate` parts of a batch, one after the other.

    Args:
        task: What is trained.
        plan: How.
        model: What to call: the task's module, wrapped where several processes train.
        positions: The items of this process's share of the batch, (m,).
        batch: Their data.
        size: Items of the batch, over all processes.
        progress: Number of the step, and of all steps.

    Returns:
        The sums of the task's losses.
    """
    device = next(task.module.parameters()).device
    scale = distributed.world_size() / size  # processes take the mean of their gradients
    sums = None
    for at, part in parts_of(positions, batch, plan.accumulate):
        with autocast(plan.precision, device):
            loss, found = task.step(model, at, part, progress)
        (loss * scale).backward()
        sums = found if sums is None else sums + found
    _fill(task.module.parameters())
    assert sums is not None
    return sums


def side_by_side(
    task: Task,
    plan: Plan,
    positions: np.ndarray,
    batch: Batch,
    size: int,
    progress: tuple[int, int],
    seed: int,
) -> Tensor:
    """Compute the gradients of the parts of a batch side by side, on a CPU.

    Args:
        task: What is trained. Its `step` is called by several threads at a time.
        plan: How, with `part_rows`.
        positions: The items of this process's share of the batch, (m,).
        batch: Their data.
        size: Items of the batch, over all processes.
        progress: Number of the step, and of all steps.
        seed: Seed of what is drawn in the parts.

    Returns:
        The sums of the task's losses.
    """
    assert plan.part_rows is not None
    device = torch.device("cpu")
    learnt = [parameter for parameter in task.module.parameters() if parameter.requires_grad]
    most = max(1, -(-len(positions) // plan.part_rows))
    parts = [part for part in parts_of(positions, batch, most) if len(part[0])]
    found: dict[int, tuple[Sequence[Tensor | None], Tensor]] = {}
    numbers, totals = count(), [_Total() for _ in learnt]
    sums = torch.zeros(len(task.losses), dtype=torch.float64)

    def work(one: slice) -> None:
        with torch.enable_grad(), drawing(seed, one.start):
            with autocast(plan.precision, device):
                at, part = parts[one.start]
                loss, losses = task.step(task.module, at, part, progress)
            gradients = torch.autograd.grad(loss / size, learnt, allow_unused=True)
        found[one.start] = gradients, losses

    def add(_: int) -> None:
        gradients, losses = found.pop(next(numbers))
        sums.add_(losses)
        for total, gradient in zip(totals, gradients, strict=True):
            total.add(gradient)

    each_part(work, [slice(number, number + 1) for number in range(len(parts))], add)
    for parameter, total in zip(learnt, totals, strict=True):
        parameter.grad = total.all_rows(parameter)
    _sum_over_processes(learnt)
    return sums


class _Total:
    """The sum of the gradients of a parameter, in the order in which they are added."""

    def __init__(self) -> None:
        self.sum: Tensor | None = None
        self.parts = 0
        self.rows: list[Tensor] = []

    def add(self, gradient: Tensor | None) -> None:
        """Add the gradient of a part; what autograd returned may be others' too, and stays."""
        if gradient is None:
            return
        if gradient.is_sparse:
            self.rows.append(gradient)
            return
        self.parts += 1
        if self.sum is None:
            self.sum = gradient
        else:
            self.sum = self.sum + gradient if self.parts == 2 else self.sum.add_(gradient)

    def all_rows(self, parameter: Tensor) -> Tensor | None:
        """Return the sum, of gradients of a few rows too."""
        if not self.rows:
            return self.sum
        total = torch.zeros_like(parameter) if self.sum is None else self.sum.clone()
        for gradient in self.rows:
            total.index_add_(0, gradient._indices()[0], gradient._values())
        return total


def _fill(parameters: Iterable[nn.Parameter]) -> None:
    """Give gradients of a few rows of a table all of its rows: optimizers want them."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def _sum_over_processes(parameters: Sequence[nn.Parameter]) -> None:
    """Add up the gradients of all processes; one that has none takes part with zeros."""
    if distributed.world_size() == 1:
        return
    flat = torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in parameters]
    )
    distributed.all_reduce(flat)
    for parameter, gradient in zip(
        parameters, flat.split([p.numel() for p in parameters]), strict=True
    ):
        parameter.grad = gradient.view_as(parameter)
