"""Codes that are shared out evenly over the items of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def balanced_choice(errors: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Choose codes so that each gets about as many items: (m, K) → (m,) int64.

    An entropic optimal transport with even margins (R. Sinkhorn and P. Knopp, Pacific Journal of
    Mathematics 21(2), 1967; M. Cuturi, NeurIPS 2013), of which every item takes its largest share.
    For the last level, as B. Zheng et al. do (LC-Rec, arXiv:2311.09049).

    Args:
        errors: Squared error of each item with each code.
        epsilon: Weight of the entropy, in units of the range of the errors: the larger, the softer.
        iterations: Times that rows and columns are scaled.
    """
    low, high = errors.min(), errors.max()
    cost = (errors - low) / (high - low).clamp(min=1e-12)
    logits = (-cost / epsilon).double()
    for _ in range(iterations):
        logits = logits - torch.logsumexp(logits, dim=0, keepdim=True)
        logits = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return logits.argmax(1)
