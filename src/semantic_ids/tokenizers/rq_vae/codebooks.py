"""L codebooks that learn: how they start, and how they move beside their gradients.

EMA codebooks: A. van den Oord, O. Vinyals and K. Kavukcuoglu, "Neural discrete representation
learning", arXiv:1711.00937, appendix A. Codes that are hardly used are reset to badly reconstructed
items, as in P. Dhariwal et al., "Jukebox", arXiv:2005.00341.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semantic_ids.learning import distributed
from semantic_ids.quantization.kmeans import totals, uses
from semantic_ids.quantization.refinement import encode
from semantic_ids.quantization.residual import ResidualQuantizer

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


class Codebooks(nn.Module):
    """L codebooks of K_l vectors of d dimensions.

    Args:
        sizes: Size of each level's codebook.
        dim: Dimensions d.
        options: The kind's options.

    Attributes:
        resets: Codes reset so far.
        started: Whether the codebooks have been started.
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

    def tables(self) -> ResidualQuantizer:
        """Return the codebooks as they are, with the tables of their products."""
        return ResidualQuantizer([codebook.detach() for codebook in self.codebooks])

    def codes(self, z: Tensor) -> Tensor:
        """Choose codes as `encode` will: (m, d) → (m, L) int64."""
        return encode(z, self.tables(), 1, self.options.codebook.beam_size)[0][:, 0]

    @torch.no_grad()
    def update(self, z: Tensor, codes: Tensor) -> None:
        """Update averages and codebooks with one batch, and reset codes that are hardly used."""
        parts = self.options.optimizer.accumulate  # of a batch, which decays once
        decay = self.options.codebook.ema_decay ** (1 / parts)
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
        """Move hardly used codes to those of all processes' rows that are worst represented.

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
