"""Unique codes for vectors on the device, while their codebooks are being fitted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from semantic_ids.contract import Assign
from semantic_ids.hashing import hashes_of
from semantic_ids.quantization.costs import OnDemand, TensorCosts
from semantic_ids.quantization.residual import ResidualQuantizer

Unique = Callable[[Tensor | OnDemand, ResidualQuantizer, Tensor], Tensor]
"""Makes codes unique: latent vectors (n, d) or what makes them, the codebooks, the vectors' codes
(n, L) → unique codes (n, L) int64."""


def unique_by(assign: Assign, vectors: np.ndarray, rows: np.ndarray) -> Unique:
    """Return what makes the codes of some rows unique.

    Args:
        assign: Who gets which code, at what they cost.
        vectors: Shape (n, D), an array or a memory map; read once more, to hash the rows.
        rows: Shape (m,): the numbers of the rows that the latent vectors are of.
    """

    @cache
    def hashes() -> np.ndarray:
        return hashes_of(vectors, rows)

    def unique(z: Tensor | OnDemand, quantizer: ResidualQuantizer, codes: Tensor) -> Tensor:
        costs = TensorCosts(z, quantizer, hashes())
        found = assign(codes.cpu().numpy().astype(np.int32), costs)
        return torch.from_numpy(found.astype(np.int64)).to(codes.device)

    return unique
