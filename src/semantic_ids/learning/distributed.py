"""Several processes that train one network, each on its share of every batch.

What they tell each other.

`torchrun` starts them and says in their surroundings which one each is. With one process nothing
here does anything.
"""

from __future__ import annotations

import atexit
import os

import torch
import torch.distributed as dist
from torch import Tensor


def wanted() -> int:
    """How many processes `torchrun` has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Join the other processes, where there are others and this one has not joined them yet.

    They part when the program ends.
    """
    if wanted() < 2 or dist.is_initialized():
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    atexit.register(_part)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which one this is; 0 is the first, which alone writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def add_up(*tensors: Tensor) -> None:
    """Replace each tensor by the sum over all processes, in place."""
    if count() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def total(number: float, device: torch.device) -> float:
    """Return the sum of a number over all processes."""
    if count() == 1:
        return number
    told = torch.tensor(number, dtype=torch.float64, device=device)
    add_up(told)
    return float(told)


def from_first(*tensors: Tensor) -> None:
    """Replace each tensor by that of the first process, in place."""
    if count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def gathered(rows: Tensor) -> Tensor:
    """Return the rows of all processes, those of the first process first.

    Each may have another number of them.
    """
    if count() == 1:
        return rows
    sizes = torch.zeros(count(), dtype=torch.int64, device=rows.device)
    sizes[number()] = len(rows)
    add_up(sizes)
    most = int(sizes.max())
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(count())]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes.tolist(), strict=True)])
