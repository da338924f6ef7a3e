"""A residual quantiser whose codebooks follow exponential moving averages of what they are used for.

EMA codebooks: van den Oord, Vinyals and Kavukcuoglu, "Neural discrete representation learning", arXiv:1711.00937, appendix A. Codes that
are hardly used are set onto badly reconstructed items, as in Dhariwal et al., "Jukebox", arXiv:2005.00341.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from semantic_ids.tokenizers.kmeans import kmeans, nearest, totals


@dataclass
class Quantized:
    """What the quantiser made of a batch.

    Attributes:
        value: Shape (m, d): the quantised vectors, with the gradient of the input (straight through).
        codes: Shape (m, L), int64.
        commitment: Mean over the batch of Σ_l ‖r_l − sg(e_l)‖²: how far the residuals are from their codes.
    """

    value: Tensor
    codes: Tensor
    commitment: Tensor


class EMAResidualQuantizer(nn.Module):
    """L codebooks of K_l vectors of d dimensions, learnt by moving averages.

    Args:
        sizes: Size of each level's codebook.
        dim: Dimensions d.
        decay: Decay of the averages, a step.
        reset_below: A code is reset when its average use falls below this share of its fair part of a batch; 0 never resets.
    """

    initialized: Tensor
    """Whether the codebooks have been started; a buffer, so that a checkpoint knows it."""

    def __init__(self, sizes: Sequence[int], dim: int, decay: float, reset_below: float) -> None:
        super().__init__()
        self.decay, self.reset_below = decay, reset_below
        self.codebooks = nn.ParameterList([nn.Parameter(torch.zeros(k, dim), requires_grad=False) for k in sizes])
        for level, k in enumerate(sizes):
            self.register_buffer(f"uses_{level}", torch.zeros(k))
            self.register_buffer(f"sums_{level}", torch.zeros(k, dim))
        self.register_buffer("initialized", torch.tensor(False))
        self.resets = 0

    @torch.no_grad()
    def initialize(self, z: Tensor, batch_rows: int, generator: torch.Generator) -> None:
        """Start every level at the k-means centroids of the residuals of z: (n, d)."""
        rest = z
        for level, codebook in enumerate(self.codebooks):
            codebook.copy_(kmeans(rest, len(codebook), generator))
            codes, _ = nearest(rest, codebook)
            counts = totals(rest, codes, len(codebook))[1]
            self._uses(level).copy_(counts * (batch_rows / len(rest)))
            self._sums(level).copy_(codebook * self._uses(level)[:, None])
            rest = rest - codebook[codes]
        self.initialized.fill_(True)

    def forward(self, z: Tensor) -> Quantized:
        """Quantise (m, d); while training, the codebooks move a step."""
        if not self.initialized:
            return Quantized(z, torch.zeros((len(z), len(self.codebooks)), dtype=torch.int64, device=z.device), z.new_zeros(()))
        rest, total, commitment, codes = z, torch.zeros_like(z), z.new_zeros(()), []
        residuals = []
        for codebook in self.codebooks:
            chosen, _ = nearest(rest.detach(), codebook)
            vectors = codebook[chosen]
            residuals.append(rest.detach())
            commitment = commitment + ((rest - vectors) ** 2).sum(1).mean()
            total, rest = total + vectors, rest - vectors
            codes.append(chosen)
        if self.training:
            self._move(residuals, codes)
        return Quantized(z + (total - z).detach(), torch.stack(codes, 1), commitment)

    @torch.no_grad()
    def _move(self, residuals: list[Tensor], codes: list[Tensor]) -> None:
        """Update averages and codebooks with one batch."""
        for level, codebook in enumerate(self.codebooks):
            sums, counts = totals(residuals[level], codes[level], len(codebook))
            uses = self._uses(level).mul_(self.decay).add_(counts, alpha=1 - self.decay)
            self._sums(level).mul_(self.decay).add_(sums, alpha=1 - self.decay)
            smoothed = (uses + 1e-5) / (uses.sum() + 1e-5 * len(uses)) * uses.sum()
            codebook.copy_(self._sums(level) / smoothed.clamp(min=1e-12)[:, None])
            self._reset(level, residuals[level], codes[level])

    def _reset(self, level: int, residuals: Tensor, codes: Tensor) -> None:
        """Set hardly used codes onto the residuals of the batch that are worst represented."""
        fair = len(residuals) / len(self.codebooks[level])
        unused = torch.nonzero(self._uses(level) < self.reset_below * fair).flatten()[: len(residuals)]
        if not len(unused):
            return
        errors = ((residuals - self.codebooks[level][codes]) ** 2).sum(1)
        worst = residuals[errors.topk(len(unused)).indices]
        self.codebooks[level][unused] = worst
        self._uses(level)[unused] = fair
        self._sums(level)[unused] = worst * fair
        self.resets += len(unused)

    def _uses(self, level: int) -> Tensor:
        return self.get_buffer(f"uses_{level}")

    def _sums(self, level: int) -> Tensor:
        return self.get_buffer(f"sums_{level}")
