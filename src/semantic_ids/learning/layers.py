"""Linear layers that learn the same with any number of threads on a CPU, and dropout that does.

Everything else in a step is computed on one thread (`compute.threads.parts_alone`). PyTorch's own
product is used elsewhere, and where a training computes in bfloat16 or is compiled.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from semantic_ids.compute import products


class Linear(nn.Linear):
    """x·Wᵀ + b."""

    def forward(self, x: Tensor) -> Tensor:
        """(m, i) → (m, o)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x·Wᵀ + b, with gradients: (m, i), (o, i), (o,) → (m, o)."""
    if not _is_exact(x):
        return nn.functional.linear(x, weight, bias)
    result: Tensor = _Linear.apply(x, weight, bias)
    return result


def _is_exact(x: Tensor) -> bool:
    """Whether every bit is to be the same with any number of threads."""
    return (
        x.device.type == "cpu"
        and x.dim() == 2
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return products.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return products.linear_gradients(x, weight, gradient, ctx.needs_input_grad)


# ---- chance -------------------------------------------------------------------------------------

_own = threading.local()


@contextmanager
def drawing(*seed: int) -> Iterator[None]:
    """Let what is drawn in this thread follow from a seed of its own.

    torch has one generator for all threads of a CPU: what a thread gets of it depends on who comes
    first.
    """
    before, _own.bits = getattr(_own, "bits", None), np.random.SFC64(seed)
    try:
        yield
    finally:
        _own.bits = before


def keep_mask(shape: Sequence[int], dropout: float) -> Tensor:
    """Draw which numbers stay, and by how much the rest makes up for those that do not.

    Within `drawing`: (…,) float32, 0 with probability `dropout`, rounded to 1/65536, and else
    1 / (1 − dropout). Each draw is 16 bits, which takes a tenth of the time of torch's.
    """
    count, dropped = math.prod(shape), round(dropout * 2**16)
    words = _own.bits.random_raw(-(-count // 4)).view(np.int16)
    drawn = torch.from_numpy(words)[:count].float()  # from −32768 to 32767
    kept = drawn.sub_(dropped - 2**15 - 1).clamp_(0, 1)
    return kept.mul_(2**16 / (2**16 - dropped)).view(*shape)


def uniform(shape: Sequence[int], device: torch.device) -> Tensor:
    """Draw numbers from 0 to 1, (…,) float32; on a CPU, within `drawing`, from its seed."""
    if device.type != "cpu" or getattr(_own, "bits", None) is None:
        return torch.rand(*shape, device=device)
    count = math.prod(shape)
    words = _own.bits.random_raw(-(-count // 2)).view(np.uint32)[:count]
    return torch.from_numpy((words >> 8).astype(np.float32)).mul_(2**-24).view(*shape)


class Dropout(nn.Module):
    """Leave out numbers at random while training, and make up for them.

    Within `drawing`, of what is drawn there; elsewhere it is torch's.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """(…) → (…)."""
        if not self.training or self.dropout == 0:
            return x
        if getattr(_own, "bits", None) is None:
            return nn.functional.dropout(x, self.dropout)
        return x * keep_mask(x.shape, self.dropout).to(x.dtype)

    def extra_repr(self) -> str:
        """Say how much is left out."""
        return f"{self.dropout}"
