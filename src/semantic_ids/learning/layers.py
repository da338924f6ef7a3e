"""Linear layers that learn the same with any number of threads on a CPU.

Everything else in a step is computed on one thread (`compute.threads.parts_alone`). PyTorch's own
product is used elsewhere, and where a training computes in bfloat16 or is compiled.
"""

from __future__ import annotations

from typing import Any

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
