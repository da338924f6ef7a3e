"""The residual quantiser of an RQ-VAE: which codes it chooses, and what the decoder gets.

How its codebooks start and move is in `codebooks`. Masked levels: R. He et al., "PLUM",
arXiv:2510.07784.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semantic_ids.learning.layers import linear
from semantic_ids.tokenizers.rq_vae.codebooks import Codebooks
from semantic_ids.tokenizers.rq_vae.gradients import (
    gumbel_noise,
    relative_errors,
    rotate,
    soft_choice,
    straight_through,
)
from semantic_ids.tokenizers.rq_vae.sinkhorn import balanced_choice

if TYPE_CHECKING:
    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions


@dataclass
class Quantized:
    """What the quantiser made of a batch.

    Attributes:
        value: Shape (m, d): what the decoder gets: the quantised vectors, with the gradient that
            the options ask for.
        codes: Shape (m, L), int64.
        commitment: Shape (m,): how far the latent vectors are from their codes, with a gradient for
            the encoder.
        codebook: Shape (m,): the same with a gradient for the codebooks.
    """

    value: Tensor
    codes: Tensor
    commitment: Tensor
    codebook: Tensor


class TrainableResidualQuantizer(Codebooks):
    """L codebooks of K_l vectors of d dimensions.

    Args:
        sizes: Size of each level's codebook.
        dim: Dimensions d.
        options: The kind's options.

    Attributes:
        temperature: Of the Gumbel-softmax; the trainer lowers it.
        generator: Of all that is drawn, on the device of the codebooks; the trainer sets it.
        started: Whether the codebooks have been started: before that, vectors pass unchanged.
    """

    def __init__(self, sizes: Sequence[int], dim: int, options: RQVAEOptions) -> None:
        super().__init__(sizes, dim, options)
        self.temperature = options.gradient.temperature
        self.generator = torch.Generator()

    def forward(self, z: Tensor, codes: Tensor | None = None) -> Quantized:
        """Quantise (m, d), with codes (m, L) where they are given.

        While training, averages and codes that are hardly used move a step.
        """
        if not self.started:
            nothing = z.new_zeros(len(z))
            return Quantized(
                z,
                torch.zeros((len(z), len(self.codebooks)), dtype=torch.int64, device=z.device),
                nothing,
                nothing,
            )
        if codes is None and self.training and self.options.gradient.estimator == "gumbel":
            value, codes = self._mixed(z)
            vectors = self._vectors(codes)
        else:
            codes = self._chosen(z.detach()) if codes is None else codes
            vectors = self._vectors(codes)
            value = self._passed(z, vectors)
        commitment, codebook = self._distances(z, vectors)
        if self.training:
            self.update(z.detach(), codes)
        return Quantized(value, codes, commitment, codebook)

    # ---- which codes -----------------------------------------------------------------------------

    @torch.no_grad()
    def _chosen(self, z: Tensor) -> Tensor:
        """Choose codes as `encode` will.

        While training they may be drawn, and those of the last level shared out evenly.
        """
        if self.training and self.options.gradient.sampling > 0:
            codes = self._drawn(z)
        else:
            codes = self.codes(z)
        if self.training and self.options.codebook.sinkhorn is not None and len(z):
            errors = self.tables().last_level_costs(z, codes[:, :-1])
            codes[:, -1] = balanced_choice(
                errors, self.options.codebook.sinkhorn, self.options.codebook.sinkhorn_iterations
            )
        return codes

    def _drawn(self, z: Tensor) -> Tensor:
        """Draw codes level by level, the likelier the smaller the error."""
        rest, codes = z, []
        for codebook in self.codebooks:
            scores = -relative_errors(rest, codebook) / self.options.gradient.sampling
            codes.append((scores + gumbel_noise(scores, self.generator)).argmax(1))
            rest = rest - codebook[codes[-1]]
        return torch.stack(codes, 1)

    # ---- what the decoder gets -------------------------------------------------------------------

    def _mixed(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mix codes level by level with weights that can be differentiated."""
        rest, total, codes = z, torch.zeros_like(z), []
        kept = self._mask(z)
        for level, codebook in enumerate(self.codebooks):
            book = codebook.clone()  # which may move before the gradient is taken
            if self.options.codebook.quantizer == "gradient":
                book = book.detach()
            errors = relative_errors(rest, book)
            weights = soft_choice(errors, gumbel_noise(errors, self.generator), self.temperature)
            mixed = linear(weights, book.T)
            codes.append(weights.argmax(1))
            total, rest = total + mixed * kept[:, level, None], rest - mixed
        return total, torch.stack(codes, 1)

    def _passed(self, z: Tensor, found: Sequence[Tensor]) -> Tensor:
        """Give the codes' vectors a gradient for the encoder, and one for the codebooks where they
        learn from the reconstruction.
        """
        if self.training and self.options.codebook.masking > 0:
            kept = self._mask(z)
            found = [vector * kept[:, level, None] for level, vector in enumerate(found)]
        vectors = sum(found, torch.zeros_like(z))
        pass_on = rotate if self.options.gradient.estimator == "rotation" else straight_through
        value = pass_on(z, vectors.detach())
        return (
            value + (vectors - vectors.detach())
            if self.options.codebook.quantizer == "end_to_end"
            else value
        )

    def _vectors(self, codes: Tensor) -> list[Tensor]:
        """Look the codes' vectors up: (m, L) → L of (m, d).

        As `embedding`, whose gradient is reproducible on a GPU.
        """
        return [
            nn.functional.embedding(code, book)
            for code, book in zip(codes.unbind(1), self.codebooks, strict=True)
        ]

    def _mask(self, z: Tensor) -> Tensor:
        """Draw which levels of each item count, (m, L) of 0 and 1.

        All, or with the probability `masking` only the first few.
        """
        levels = len(self.codebooks)
        if not self.training or self.options.codebook.masking == 0 or levels == 1:
            return z.new_ones((len(z), levels))
        draws = torch.rand((2, len(z)), generator=self.generator, device=z.device)
        kept = torch.where(
            draws[0] < self.options.codebook.masking, 1 + (draws[1] * (levels - 1)).long(), levels
        )
        return (torch.arange(levels, device=z.device) < kept[:, None]).to(z.dtype)

    def _distances(self, z: Tensor, found: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Squared distance of vectors and codes twice, with a gradient for the encoder and for the
        codebooks: two of (m,).

        Where codebooks are `joint`, between the vector and the sum of its codes; else summed over
        the levels, of what the levels before have left over.
        """
        frozen = z.detach()
        if self.options.codebook.joint:
            vectors = sum(found, torch.zeros_like(z))
            return ((z - vectors.detach()) ** 2).sum(1), ((frozen - vectors) ** 2).sum(1)
        commitment, codebook, before = (
            z.new_zeros(len(z)),
            z.new_zeros(len(z)),
            torch.zeros_like(frozen),
        )
        for vectors in found:
            codebook = codebook + ((frozen - before - vectors) ** 2).sum(1)
            before = before + vectors.detach()
            commitment = commitment + ((z - before) ** 2).sum(1)
        return commitment, codebook
