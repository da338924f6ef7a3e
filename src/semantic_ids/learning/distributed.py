"""Several processes that train one network, each on its share of every batch.

`torchrun` starts them and tells each of them its rank in the environment. With one process nothing
here does anything. Names are those of `torch.distributed`.
"""

from __future__ import annotations

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

TIMEOUT = timedelta(hours=24)
"""How long a process waits for another. Rank 0 fits the codebooks that all start from, checks data
and makes codes unique while the others wait; NCCL's own 10 minutes are shorter than that."""


def wanted() -> int:
    """How many processes `torchrun` has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device) -> None:
    """Join the other processes, where there are others and this one has not joined them yet.

    The group is left when the program ends.
    """
    if wanted() < 2 or dist.is_initialized():
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which process this is; rank 0 alone writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def all_reduce(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over all processes, in place."""
    if world_size() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def broadcast(*tensors: Tensor) -> None:
    """Replace each tensor by that of rank 0, in place."""
    if world_size() > 1:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


def broadcast_bytes(data: bytes, device: torch.device) -> bytes:
    """Return the bytes that rank 0 has; what other ranks give is ignored.

    Args:
        data: The bytes, on rank 0.
        device: A device that the processes can exchange tensors on.
    """
    if world_size() == 1:
        return data
    size = torch.tensor(len(data), dtype=torch.int64, device=device)
    dist.broadcast(size, 0)
    sent = (
        torch.frombuffer(bytearray(data), dtype=torch.uint8).to(device)
        if rank() == 0 and data
        else torch.zeros(int(size), dtype=torch.uint8, device=device)
    )
    if len(sent):
        dist.broadcast(sent, 0)
    return sent.cpu().numpy().tobytes()


def all_gather(rows: Tensor, *, even: bool = False) -> Tensor:
    """Return the rows of all processes, those of rank 0 first.

    Args:
        rows: Those of this process.
        even: Whether all have as many; where they may not, the host waits for the device to learn
            how many each has.
    """
    if world_size() == 1:
        return rows
    if even:
        parts = [torch.empty_like(rows) for _ in range(world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)
    sizes = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    sizes[rank()] = len(rows)
    all_reduce(sizes)
    most = int(sizes.max())
    padded = rows.new_zeros((most, *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes.tolist(), strict=True)])
