"""The residual quantiser of an RQ-VAE: L codebooks that learn along with the network.

EMA codebooks: A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural discrete representation
learning", arXiv:1711.00937, appendix A. Codes that are hardly used are set onto badly reconstructed
items, as in P. Dhariwal et al., "Jukebox", arXiv:2005.00341. Masked levels: R. He et al., "PLUM",
arXiv:2510.07784.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semantic_ids.learning import distributed
from semantic_ids.learning.layers import linear
from semantic_ids.quantization.kmeans import nearest, totals, uses
from semantic_ids.quantization.refinement import encode
from semantic_ids.quantization.residual import ResidualQuantizer
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


@dataclass(frozen=True)
class Start:
    """What codebooks start from.

    Attributes:
        rows: Of how many latent vectors, the first by item hash.
        make: Makes codebooks (K_l, d) for latent vectors (n, d).
    """

    rows: int
    make: Callable[[Tensor], Sequence[Tensor]]


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


class TrainableResidualQuantizer(nn.Module):
    """L codebooks of K_l vectors of d dimensions.

    Args:
        sizes: Size of each level's codebook.
        dim: Dimensions d.
        options: The kind's options.

    Attributes:
        temperature: Of the Gumbel-softmax; the trainer lowers it.
        generator: Of all that is drawn, on the device of the codebooks; the trainer sets it.
        resets: Codes set onto other places so far.
        started: Whether the codebooks have been started: before that, vectors pass as they are.
    """

    initialized: Tensor
    """The same as `started`, as a buffer, so that a checkpoint knows it."""

    def __init__(self, sizes: Sequence[int], dim: int, options: RQVAEOptions) -> None:
        super().__init__()
        self.options = options
        self.averaged = options.codebook.quantizer == "ema"
        learns = options.codebook.quantizer in ("gradient", "end_to_end")
        self.codebooks = nn.ParameterList(
            [nn.Parameter(torch.zeros(k, dim), requires_grad=learns) for k in sizes]
        )
        for level, k in enumerate(sizes):
            self.register_buffer(f"uses_{level}", torch.zeros(k))
            if self.averaged:
                self.register_buffer(f"sums_{level}", torch.zeros(k, dim))
        self.register_buffer("initialized", torch.tensor(False))
        self.started = False
        self.register_load_state_dict_post_hook(_notice_start)
        self.temperature = options.gradient.temperature
        self.generator = torch.Generator()
        self.resets = 0

    @torch.no_grad()
    def start(
        self, z: Tensor, batch_rows: float, make: Callable[[Tensor], Sequence[Tensor]]
    ) -> None:
        """Start at codebooks made for latent vectors (n, d).

        The averages begin as if there had been batches of so many rows.
        """
        if distributed.rank() == 0:
            for codebook, made in zip(self.codebooks, make(z), strict=True):
                codebook.copy_(made)
        distributed.broadcast(*(codebook.data for codebook in self.codebooks))
        for level, (codebook, code) in enumerate(
            zip(self.codebooks, self.codes(z).unbind(1), strict=True)
        ):
            self._uses(level).copy_(uses(code, len(codebook)) * (batch_rows / len(z)))
            if self.averaged:
                self._sums(level).copy_(codebook * self._uses(level)[:, None])
        self.initialized.fill_(True)
        self.started = True

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
            self._follow(z.detach(), codes)
        return Quantized(value, codes, commitment, codebook)

    # ---- which codes -----------------------------------------------------------------------------

    def tables(self) -> ResidualQuantizer:
        """Return the codebooks as they are, with the tables of their products."""
        return ResidualQuantizer([codebook.detach() for codebook in self.codebooks])

    def codes(self, z: Tensor) -> Tensor:
        """Choose codes as `encode` will: (m, d) → (m, L) int64."""
        return encode(z, self.tables(), 1, self.options.codebook.beam_size)[0][:, 0]

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

    # ---- how codebooks move beside their gradients -----------------------------------------------

    @torch.no_grad()
    def _follow(self, z: Tensor, codes: Tensor) -> None:
        """Update averages and codebooks with one batch, and set codes that are hardly used onto
        other places.
        """
        decay = self.options.codebook.ema_decay ** (
            1 / self.options.optimizer.accumulate
        )  # a batch comes in parts
        targets = list(self._targets(z, codes))
        for level, target in targets:
            self._average(level, target, codes[:, level], decay)
        if self.options.codebook.reset_below == 0:
            return
        rows = torch.full((), len(z), dtype=torch.float64, device=z.device)
        distributed.all_reduce(rows)
        unused = [
            self._uses(level) < self.options.codebook.reset_below * (rows / len(codebook))
            for level, codebook in enumerate(self.codebooks)
        ]
        # the one wait for a GPU in a step
        *counts, items = torch.stack([*(mask.sum() for mask in unused), rows]).cpu().tolist()
        for (level, target), mask, count in zip(targets, unused, counts, strict=True):
            if count:
                self._reset(level, target, codes[:, level], mask, int(min(count, items)), items)

    def _average(self, level: int, target: Tensor, codes: Tensor, decay: float) -> None:
        """Update the averages of a level's uses and, with `ema`, of its vectors."""
        codebook, used = self.codebooks[level], self._uses(level)
        counts = uses(codes, len(codebook))
        distributed.all_reduce(counts)
        used.mul_(decay).add_(counts, alpha=1 - decay)
        if not self.averaged:
            return
        added = totals(target, codes, len(codebook))[0]
        distributed.all_reduce(added)
        self._sums(level).mul_(decay).add_(added, alpha=1 - decay)
        smoothing, total = self.options.codebook.smoothing, used.sum()
        smoothed = (used + smoothing) / (total + smoothing * len(used)) * total
        codebook.copy_(self._sums(level) / smoothed.clamp(min=1e-12)[:, None])

    def _targets(self, z: Tensor, codes: Tensor) -> Iterable[tuple[int, Tensor]]:
        """Yield each level and what its codes are to stand for.

        What the levels before leave over, or, `joint`, all other levels.
        """
        vectors = [book.detach()[codes[:, level]] for level, book in enumerate(self.codebooks)]
        rest = z - sum(vectors) if self.options.codebook.joint else z
        for level, vector in enumerate(vectors):
            yield level, rest + vector if self.options.codebook.joint else rest
            if not self.options.codebook.joint:
                rest = rest - vector

    def _reset(
        self, level: int, target: Tensor, codes: Tensor, mask: Tensor, count: int, items: float
    ) -> None:
        """Set hardly used codes onto those of all processes' rows that are worst represented.

        Args:
            level: The level.
            target: What its codes are to stand for, (m, d).
            codes: Its codes, (m,).
            mask: Which codes are hardly used, (K,).
            count: How many of them are set, the first ones.
            items: Rows of all processes.
        """
        codebook = self.codebooks[level]
        fair = items / len(codebook)
        errors = ((target - codebook[codes]) ** 2).sum(1)
        errors, worst = errors.topk(min(count, len(errors)))
        missing = count - len(worst) if distributed.world_size() > 1 else 0
        errors = nn.functional.pad(errors, (0, missing), value=-torch.inf)
        places = nn.functional.pad(target[worst], (0, 0, 0, missing))
        errors, places = (distributed.all_gather(of, even=True) for of in (errors, places))
        unused = mask.byte().argsort(descending=True, stable=True)[:count]
        places = places[errors.topk(count).indices]
        codebook.data[unused] = places
        self._uses(level)[unused] = fair
        if self.averaged:
            self._sums(level)[unused] = places * fair
        self.resets += count

    def _uses(self, level: int) -> Tensor:
        return self.get_buffer(f"uses_{level}")

    def _sums(self, level: int) -> Tensor:
        return self.get_buffer(f"sums_{level}")


def _notice_start(module: nn.Module, _: object) -> None:
    module.started = bool(module.initialized)  # type: ignore[assignment]


def residual_kmeans(
    z: Tensor, sizes: Sequence[int], cluster: Callable[[Tensor, int], Tensor]
) -> list[Tensor]:
    """Cluster level by level what the levels before left over: (n, d) → codebooks (K_l, d)."""
    rest, codebooks = z, []
    for size in sizes:
        codebooks.append(cluster(rest, size))
        rest = rest - codebooks[-1][nearest(rest, codebooks[-1])[0]]
    return codebooks
