"""Products whose sums round the same with any number of threads.

A BLAS cuts a product into as many parts as it has threads, and where the borders of the parts cut
through the blocks of its kernels, some numbers are added up in another order: with MKL, results of
100 or 24 columns differ between one thread and four, whatever the number of rows. So on a CPU a
product is cut into fixed pieces here, and each piece is one thread's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from semantic_ids.arrays import chunks, one_thread
from semantic_ids.compute.threads import each_part

PIECE_ROWS = 128
"""Rows of a result that a thread computes at a time: few, so that there are pieces for all."""
LEAST_PRODUCTS = 1 << 20
"""Multiplications below which a product is one piece: handing it out would take longer."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x·Wᵀ + b, without gradients: (m, i), (o, i), (o,) → (m, o)."""
    if x.device.type != "cpu":
        return torch.nn.functional.linear(x, weight, bias)
    turned, result = weight.T, x.new_empty((len(x), len(weight)))

    def make(rows: slice, into: Tensor) -> None:
        if bias is None:
            torch.mm(x[rows], turned, out=into)
        else:
            torch.addmm(bias, x[rows], turned, out=into)

    return _in_pieces(make, result, len(turned))


def linear_gradients(
    x: Tensor, weight: Tensor, gradient: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of x, W and b for that of `linear`'s result, on a CPU.

    Args:
        x: Shape (m, i).
        weight: Shape (o, i).
        gradient: Shape (m, o).
        wanted: Which of the three are wanted; None stands for the others.
    """
    m, o, i = len(x), *weight.shape
    dx, dw, db = None, None, None
    if wanted[0]:
        dx = _in_pieces(partial(_rows, gradient, weight), x.new_empty((m, i)), o)
    if wanted[1]:
        dw = _in_pieces(partial(_rows, gradient.T, x), x.new_empty((o, i)), m)
    if wanted[2]:
        with one_thread():
            db = gradient.sum(0)
    return dx, dw, db


def _rows(a: Tensor, b: Tensor, rows: slice, into: Tensor) -> None:
    torch.mm(a[rows], b, out=into)


def _in_pieces(make: Callable[[slice, Tensor], None], result: Tensor, depth: int) -> Tensor:
    """Fill a result some rows at a time, where each number takes `depth` products."""
    small = result.numel() * depth < LEAST_PRODUCTS
    size = max(1, len(result)) if small else PIECE_ROWS

    def work(rows: slice) -> None:
        make(rows, result[rows])

    each_part(work, list(chunks(len(result), size)))
    return result
