"""What a network computes in while it trains."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from semantic_ids.compute.devices import has_bfloat16


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: where it is asked for, and with `auto` on a GPU that has it.

    Args:
        precision: `auto`, `float32` or `bfloat16`.
        device: Where it is computed.
    """
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass while training.

    Weights and their gradients stay in float32. What must be exact leaves it with `full_float32`.
    """
    return (
        torch.autocast(device.type, torch.bfloat16)
        if in_bfloat16(precision, device)
        else nullcontext()
    )


def full_float32(device: torch.device) -> AbstractContextManager[object]:
    """Return a context without autocast, for parts of a network that need all digits."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)
