"""Residual quantisation: the mechanics, on tensors, of all tokenizers.

Level l quantises what levels 1 … l−1 left over, so a vector is approximated by a sum of one codebook vector a level (Juang and Gray, ICASSP
1982). With p the sum of the codes chosen so far, the error of adding code c is

    ‖z − p − c‖² = ‖z‖² − 2 z·p + ‖p‖²  +  ‖c‖² − 2 z·c + 2 p·c

so after one product of z with all codebooks (z·c) everything is looked up in the small tables of the codebooks' own products (p·c).
Shapes: m vectors, d dimensions, L levels, K_l codes at level l, B beams.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BEAM_CELLS = 1 << 20
"""Scores held at a time by the beam search: 4 MiB of float32 stay in the processor's cache."""
LARGEST_TABLE = 1 << 26
"""Up to so many prefixes, those that are closed are looked up in a table of one byte each; beyond, they are searched for."""
LEAST_BEAM_CODES = 2048
"""The beam covers at least this many codes a level, so that small codebooks are searched exhaustively."""


@dataclass
class ResidualQuantizer:
    """L codebooks and the tables made of them.

    Attributes:
        codebooks: L tensors (K_l, d), on one device, float32.
    """

    codebooks: list[Tensor]

    def __post_init__(self) -> None:
        self.sizes = [len(c) for c in self.codebooks]
        self.stacked = torch.cat(self.codebooks).T.contiguous()  # (d, ΣK)
        self.norms = [(c.double() ** 2).sum(1).float() for c in self.codebooks]
        self.products = [
            [(2 * a.double() @ b.double().T).float() for a in self.codebooks[:level]] for level, b in enumerate(self.codebooks)
        ]

    def encode(self, z: Tensor) -> Tensor:
        """Choose the nearest code level by level: (m, d) → (m, L) int64; of equal codes the first."""
        tables = self._tables(z)
        codes: list[Tensor] = []
        for level, table in enumerate(tables):
            scores = table + self.norms[level]
            for earlier, code in enumerate(codes):
                scores += self.products[level][earlier][code]
            codes.append(scores.argmin(1))
        return torch.stack(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Sum the codes' vectors: (m, p) int64, p ≤ L → (m, d). With p = 0 the sum is zero."""
        total = torch.zeros((len(codes), self.stacked.shape[0]), dtype=torch.float32, device=self.stacked.device)
        for level in range(codes.shape[1]):
            total += self.codebooks[level][codes[:, level]]
        return total

    def errors(self, z: Tensor, codes: Tensor) -> Tensor:
        """Squared error of each vector with its codes: (m, d), (m, L) → (m,)."""
        rest = z - self.decode(codes)
        return (rest * rest).sum(1)

    def last_level_costs(self, z: Tensor, prefixes: Tensor) -> Tensor:
        """Squared error of every last-level code under a given prefix: (m, d), (m, L−1) → (m, K_L)."""
        rest = z - self.decode(prefixes)
        costs = torch.addmm(self.norms[-1], rest, self.codebooks[-1].T, alpha=-2)
        return costs.add_((rest * rest).sum(1, keepdim=True)).clamp_(min=0)

    def best_codes(self, z: Tensor, t: int, distinct_prefixes: bool = False, closed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Search the t best codes with a beam: (m, d) → (m, t, L) int64, (m, t) float32. See `contract.Tokenizer.candidates`."""
        tables, closed = self._tables(z), self.closed_table(closed)
        norms = (z * z).sum(1)
        width = max(t, LEAST_BEAM_CODES // max(self.sizes))
        rows = max(1, BEAM_CELLS // (width * max(self.sizes)))
        found = [
            self._beam([table[i : i + rows] for table in tables], norms[i : i + rows], t, width, distinct_prefixes, closed)
            for i in range(0, len(z), rows)
        ]
        if not found:
            return torch.empty((0, t, len(self.sizes)), dtype=torch.int64), torch.empty((0, t))
        return torch.cat([codes for codes, _ in found]), torch.cat([costs for _, costs in found])

    def _tables(self, z: Tensor) -> Sequence[Tensor]:
        """−2 z·c for every code: L tensors (m, K_l)."""
        return torch.split(-2 * (z @ self.stacked), self.sizes, dim=1)

    def _beam(
        self, tables: list[Tensor], norms: Tensor, t: int, width: int, distinct: bool, closed: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        last = len(self.sizes) - 1
        scores = norms[:, None]
        codes = torch.zeros((len(norms), 1, 0), dtype=torch.int64, device=norms.device)
        if last == 0 and closed is not None and len(closed):
            scores = torch.full_like(scores, torch.inf)
        for level in range(last):
            grown = self._grow(tables[level], scores, codes, level)
            if level == last - 1:
                grown = self._close(grown, codes, closed)
            codes, scores = _keep(grown, codes, width)
        grown = self._grow(tables[last], scores, codes, last)
        if distinct:
            scores, chosen = grown.min(2)
            codes = torch.cat([codes, chosen[..., None]], 2)
            scores, best = scores.topk(min(t, scores.shape[1]), dim=1, largest=False)
            codes = codes.gather(1, best[..., None].expand(-1, -1, codes.shape[2]))
        else:
            codes, scores = _keep(grown, codes, t)
        return self._ordered(codes, scores, t)

    def _grow(self, table: Tensor, scores: Tensor, codes: Tensor, level: int) -> Tensor:
        """Error of every beam with every code of the next level: (m, B, K_l)."""
        grown = scores[:, :, None] + (table + self.norms[level])[:, None, :]
        for earlier in range(level):
            grown += self.products[level][earlier][codes[:, :, earlier]]
        return grown

    def _close(self, grown: Tensor, codes: Tensor, closed: Tensor | None) -> Tensor:
        """Give prefixes that are closed an infinite error: (m, B, K) errors of prefixes of L − 1 levels."""
        if closed is None or not len(closed):
            return grown
        keys = torch.zeros(codes.shape[:2], dtype=torch.int64, device=codes.device)
        for level in range(codes.shape[2]):
            keys = keys * self.sizes[level] + codes[:, :, level]
        if closed.dtype == torch.bool:
            return grown.masked_fill_(closed.view(-1, grown.shape[2])[keys], torch.inf)
        keys = keys[:, :, None] * grown.shape[2] + torch.arange(grown.shape[2], device=codes.device)
        place = torch.searchsorted(closed, keys).clamp_(max=len(closed) - 1)
        return grown.masked_fill_(closed[place] == keys, torch.inf)

    def closed_table(self, closed: Tensor | None) -> Tensor | None:
        """Turn the keys of closed prefixes into a table of all prefixes, where that is of moderate size; a table stays as it is."""
        prefixes = math.prod(self.sizes[:-1])
        if closed is None or not len(closed) or closed.dtype == torch.bool or prefixes > LARGEST_TABLE:
            return closed
        table = torch.zeros(prefixes, dtype=torch.bool, device=closed.device)
        table[closed] = True
        return table

    def _ordered(self, codes: Tensor, scores: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Sort by error, equal ones by codes, and fill up to t with inf and −1."""
        for level in range(codes.shape[2] - 1, -1, -1):
            order = codes[:, :, level].sort(dim=1, stable=True).indices
            codes, scores = codes.gather(1, order[..., None].expand_as(codes)), scores.gather(1, order)
        scores, order = scores.sort(dim=1, stable=True)
        codes = codes.gather(1, order[..., None].expand_as(codes))
        codes = torch.where(torch.isinf(scores)[..., None], -1, codes)
        missing = t - scores.shape[1]
        if missing > 0:
            scores = torch.nn.functional.pad(scores, (0, missing), value=torch.inf)
            codes = torch.nn.functional.pad(codes, (0, 0, 0, missing), value=-1)
        return codes, scores.clamp_(min=0)


def _keep(grown: Tensor, codes: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Keep the `width` best of all grown beams: (m, B, K) → codes (m, width, l + 1), scores (m, width)."""
    m, beams, size = grown.shape
    scores, flat = grown.reshape(m, beams * size).topk(min(width, beams * size), dim=1, largest=False)
    parents = codes.gather(1, (flat // size)[..., None].expand(-1, -1, codes.shape[2]))
    return torch.cat([parents, (flat % size)[..., None]], 2), scores
