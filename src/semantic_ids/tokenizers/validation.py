"""What an epoch came to, over all the rows watched and not as a mean of batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from semantic_ids.tokenizers.ema import Quantized


class Validation:
    """Sums over chunks of prepared vectors (m, D), in float64.

    Args:
        sizes: Size of each level's codebook; empty while nothing is quantised yet.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.count = 0
        self.error = self.cosine = self.commitment = self.squares = 0.0
        self.total = torch.zeros(1, dtype=torch.float64)
        self.uses = [torch.zeros(k, dtype=torch.int64) for k in sizes]

    def add(self, x: Tensor, quantized: Quantized, decoded: Tensor) -> None:
        """Take a chunk in."""
        self.count += len(x)
        self.error += float(((decoded - x) ** 2).sum(dtype=torch.float64))
        self.cosine += float(torch.nn.functional.cosine_similarity(decoded, x).sum(dtype=torch.float64))
        self.commitment += float(quantized.commitment) * len(x)
        self.total = self.total + x.sum(0, dtype=torch.float64).cpu()
        self.squares += float((x * x).sum(dtype=torch.float64))
        for level, uses in enumerate(self.uses):
            uses += torch.bincount(quantized.codes[:, level].cpu(), minlength=len(uses))  # noqa: PLW2901 - added in place

    def row(self) -> dict[str, Any]:
        """Return the columns that a validation adds to the history."""
        spread = self.squares - float(self.total @ self.total) / self.count
        row = {
            "validation_reconstruction": self.error / self.count,
            "validation_commitment": self.commitment / self.count,
            "validation_relative_mse": self.error / spread if spread > 0 else 0.0,
            "validation_cosine": self.cosine / self.count,
        }
        for level, uses in enumerate(self.uses, start=1):
            share = uses[uses > 0].double() / self.count
            row[f"usage.{level}"] = float((uses > 0).double().mean())
            row[f"perplexity.{level}"] = float(torch.exp(-(share * share.log()).sum()))
        return row
