"""Residual quantisation: the mechanics, on tensors, of all tokenizers.

Level l quantises what levels 1 … l−1 left over, so a vector is approximated by a sum of one
codebook vector a level (Juang and Gray, ICASSP 1982). With p the sum of the codes chosen so far,
the error of adding code c is

    ‖z − p − c‖² = ‖z‖² − 2 z·p + ‖p‖²  +  ‖c‖² − 2 z·c + 2 p·c

so after one product of z with all codebooks (z·c) everything is looked up in the small tables of
the codebooks' own products (p·c). A beam of width B follows the B best prefixes from level to level
(Babenko and Lempitsky, CVPR 2014); with B = 1 each level takes its nearest code. Shapes: m vectors,
d dimensions, L levels, K_l codes at level l, B beams.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from semantic_ids.compute.devices import cpu_has_bfloat16
from semantic_ids.compute.threads import LEAST_ROWS, pad_rows
from semantic_ids.compute.topk import first_argmin, top_k

BEAM_CELLS, GPU_BEAM_CELLS = 3 << 17, 1 << 26
"""Scores held at a time by the beam search: 1.5 MiB of float32 stay in the processor's cache; on a
GPU 256 MiB keep it busy."""
LARGEST_TABLE = 1 << 26
"""Up to so many prefixes, those that are excluded are looked up in a table of one byte each;
beyond, they are searched for."""
HELD_PRODUCTS = 1 << 28
"""Products of every two codebooks up to which they are held in tables (1 GiB of float32); of larger
codebooks they are computed for the codes at hand, which takes a few times as long."""
TABLE_CELLS = 1 << 26
"""Products of vectors and codes that are held at a time on a CPU: 256 MiB a thread."""
LARGEST_EXACT = 1 << 22
"""Products of two codebooks up to which they are computed in float64; more take the memory of two
tables beside the one that is kept, and four times as long."""
LEVELS_OF_A_TABLE = 3
"""With so many levels a prefix is a pair of codes, and has its number in one table of products."""
LEAST_BEAM_CODES = 2048
"""The search for the t best codes covers at least this many codes a level, so that small codebooks
are searched exhaustively."""
_ONE_MAKES_THEM = threading.Lock()
"""Threads that search with the same codebooks make their tables once."""


@dataclass
class ResidualQuantizer:
    """L codebooks and the tables made of them.

    Attributes:
        codebooks: L tensors (K_l, d), on one device, float32.
        prices: L tensors (K_l,), or none: what `encode` adds to the squared error of each code, so
            that full codes are taken less often.
    """

    codebooks: list[Tensor]
    prices: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sizes = [len(c) for c in self.codebooks]
        self.vectors = torch.cat(self.codebooks)  # (ΣK, d)
        # made by a CPU for a CPU: on a GPU its numbers would be waited for
        self.begins = torch.tensor([0, *self.sizes[:-1]]).cumsum(0)
        self.stacked = (-2 * self.vectors.T).contiguous()  # (d, ΣK)
        self.norms = torch.cat([(c.double() ** 2).sum(1) for c in self.codebooks]).float()
        cells = sum(a * b for a, b in combinations(self.sizes, 2))
        self.holds_products = cells <= HELD_PRODUCTS
        self._tables: list[list[Tensor]] | None = None

    @property
    def products(self) -> list[list[Tensor]]:
        """For each level, twice the products of each earlier codebook with its own: (K_a, K_l).

        Made when they are first asked for: of large codebooks they take seconds and a gigabyte,
        which those who only decode do without. Not asked for where there are none to be held.
        """
        with _ONE_MAKES_THEM:
            if self._tables is None:
                self._tables = [
                    [_products(a, b) for a in self.codebooks[:level]]
                    for level, b in enumerate(self.codebooks)
                ]
            return self._tables

    def to(self, device: torch.device) -> ResidualQuantizer:
        """Return one on another device."""
        return ResidualQuantizer(
            [c.to(device) for c in self.codebooks], [p.to(device) for p in self.prices]
        )

    def encode(self, z: Tensor, beam: int = 1) -> Tensor:
        """Choose codes with a beam of this width: (m, d) → (m, L) int64.

        With width 1 the nearest code a level, of equal ones the first.

        Nearest is what has the least squared error, with the prices added where there are any.
        """
        return self.search(z, 1, beam, priced=True)[0][:, 0]

    def encode_roughly(self, z: Tensor) -> Tensor:
        """Choose about the nearest code a level, without prices: (m, d) → (m, L) int64.

        What statistics over many vectors are taken from. A processor that multiplies bfloat16
        faster than float32 does, which takes half as long as `encode` and chooses other codes for
        one vector in twenty.
        """
        fast = z.device.type == "cpu" and cpu_has_bfloat16()
        table = self._rounded_products if fast else None
        return self._in_blocks(z, self.norms, z.new_zeros(len(z)), 1, 1, make=table)[0][:, 0]

    def _rounded_products(self, z: Tensor) -> Tensor:
        return (z.bfloat16() @ self.stacked.bfloat16()).float().add_(self.norms)

    def encode_at_once(self, z: Tensor, beam: int = 1) -> Tensor:
        """Do what `encode` does for all rows at once, as a graph of operations that can be
        exported: (m, d) → (m, L).
        """
        offsets = self.norms + torch.cat(self.prices) if self.prices else self.norms
        table = torch.addmm(offsets, z, self.stacked)
        starts = table.new_zeros(table.shape[0])
        return self._search(table.split(self.sizes, 1), starts, 1, beam, False, None)[0][:, 0]

    def decode(self, codes: Tensor) -> Tensor:
        """Sum the codes' vectors: (m, p) int64, p ≤ L → (m, d). With p = 0 the sum is zero."""
        if codes.device.type != "cpu" or not codes.shape[1] or torch.compiler.is_exporting():
            return sums(self.codebooks, codes)
        return torch.nn.functional.embedding_bag(
            codes + self.begins[: codes.shape[1]], self.vectors, mode="sum"
        )

    def errors(self, z: Tensor, codes: Tensor) -> Tensor:
        """Squared error of each vector with its codes: (m, d), (m, L) → (m,)."""
        rest = z - self.decode(codes)
        return (rest * rest).sum(1)

    def last_level_costs(self, z: Tensor, prefixes: Tensor) -> Tensor:
        """Squared error of every last-level code under a given prefix.

        (m, d), (m, L−1) → (m, K_L).
        """
        rest = z - self.decode(prefixes)
        costs = torch.addmm(self.norms[-self.sizes[-1] :], rest, self.codebooks[-1].T, alpha=-2)
        return costs.add_((rest * rest).sum(1, keepdim=True)).clamp_(min=0)

    def search(self, z: Tensor, t: int, beam: int, priced: bool = False) -> tuple[Tensor, Tensor]:
        """Follow a beam to the t best codes it finds.

        (m, d) → (m, min(t, …), L) int64, and their error less ‖z‖², ascending.
        """
        offsets = self.norms + torch.cat(self.prices) if priced and self.prices else self.norms
        return self._in_blocks(z, offsets, z.new_zeros(len(z)), t, beam)

    def best_codes(
        self, z: Tensor, t: int, distinct_prefixes: bool = False, excluded: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Search the t best codes with a wide beam: (m, d) → (m, t, L) int64, (m, t) float32.

        See `contract.Tokenizer.candidates`.
        """
        width = max(t, LEAST_BEAM_CODES // max(self.sizes))
        codes, scores = self._in_blocks(
            z,
            self.norms,
            (z * z).sum(1),
            t,
            width,
            distinct_prefixes,
            self.excluded_table(excluded),
        )
        return _ordered(codes, scores, t)

    def _in_blocks(
        self,
        z: Tensor,
        offsets: Tensor,
        norms: Tensor,
        t: int,
        width: int,
        distinct: bool = False,
        excluded: Tensor | None = None,
        make: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Search for few rows at a time, whose scores fit the cache.

        With no rows, for one block of none. `make` returns ‖c‖² − 2 z·c of all codes, where not
        by a product in float32: (m, d) → (m, ΣK).
        """
        rows = self._block_rows(z.device, width)
        found = []
        for some, starts in zip(*(x.split(self._table_rows(z)) for x in (z, norms)), strict=True):
            rest = some if len(some) == len(z) else pad_rows(some)  # a last part may have few rows
            made = make(rest) if make else torch.addmm(offsets, rest, self.stacked)
            table = made[: len(some)]
            found += [
                self._search(block.split(self.sizes, 1), first, t, width, distinct, excluded)
                for block, first in zip(table.split(rows), starts.split(rows), strict=True)
            ]
        return torch.cat([codes for codes, _ in found]), torch.cat([scores for _, scores in found])

    def _table_rows(self, z: Tensor) -> int:
        """How many rows to compute the products with all codes of at a time."""
        few = max(LEAST_ROWS, TABLE_CELLS // sum(self.sizes))
        return few if z.device.type == "cpu" else max(1, len(z))

    def _block_rows(self, device: torch.device, width: int) -> int:
        """How many rows to search at a time, which have `width` beams each."""
        cells = BEAM_CELLS if device.type == "cpu" else GPU_BEAM_CELLS
        rows = max(1, cells // (width * max(self.sizes)))
        return rows if self.holds_products else max(rows, LEAST_ROWS // width)

    def _search(
        self,
        tables: Sequence[Tensor],
        norms: Tensor,
        t: int,
        width: int,
        distinct: bool,
        excluded: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Follow the beam; `tables` hold ‖c‖² − 2 z·c of each level, `norms` what every score
        starts from.
        """
        last = len(self.sizes) - 1
        codes: list[Tensor] = []
        scores = norms[:, None]
        if last == 0 and excluded is not None and len(excluded):
            scores = torch.full_like(scores, torch.inf)
        for level in range(last):
            closed = excluded if level == last - 1 else None
            grown = self._grow(tables[level], scores, codes, level, closed)
            codes, scores = _keep(self._exclude(grown, codes, closed), codes, width)
        grown = self._grow(tables[last], scores, codes, last)
        if distinct:
            chosen = first_argmin(grown.flatten(0, 1)).view(scores.shape)
            scores = grown.gather(2, chosen[..., None])[..., 0]
            codes = [*codes, chosen]
            scores, best = top_k(scores, t)
            codes = [code.expand_as(chosen).gather(1, best) for code in codes]
        else:
            codes, scores = _keep(grown, codes, t)
        return torch.stack(codes, 2), scores

    def _grow(
        self,
        table: Tensor,
        scores: Tensor,
        codes: list[Tensor],
        level: int,
        closed: Tensor | None = None,
    ) -> Tensor:
        """Score every beam with every code of the next level: (m, B, K_l).

        `closed`: see `excluded_table`; the products that it may hold take the place of others.
        """
        m, beams = scores.shape
        grown = scores[:, :, None] + table[:, None, :]
        if self.holds_products:
            held = self.products[level]
            if closed is not None and closed.is_floating_point():
                held = [closed]
            for product, code in zip(held, codes, strict=True):
                grown += torch.index_select(product, 0, code.reshape(-1)).view(m, beams, -1)
        elif codes:
            chosen = sums(self.codebooks, torch.stack(codes, 2).view(m * beams, level))
            products = pad_rows(2 * chosen) @ self.codebooks[level].T
            grown += products[: m * beams].view(m, beams, -1)
        return grown

    def _exclude(self, grown: Tensor, codes: list[Tensor], excluded: Tensor | None) -> Tensor:
        """Give prefixes that are excluded an infinite error.

        (m, B, K) errors of prefixes of L − 1 levels.
        """
        if excluded is None or not len(excluded) or excluded.is_floating_point():
            return grown
        keys = torch.zeros(grown.shape[:2], dtype=torch.int64, device=grown.device)
        for size, code in zip(self.sizes, codes, strict=False):
            keys = keys * size + code
        if excluded.dtype == torch.bool:
            return grown.masked_fill_(excluded.view(-1, grown.shape[2])[keys], torch.inf)
        keys = keys[:, :, None] * grown.shape[2] + torch.arange(grown.shape[2], device=grown.device)
        place = torch.searchsorted(excluded, keys).clamp_(max=len(excluded) - 1)
        return grown.masked_fill_(excluded[place] == keys, torch.inf)

    def excluded_table(self, excluded: Tensor | None) -> Tensor | None:
        """Turn the keys of excluded prefixes into a table of all prefixes, where that is of
        moderate size; a table is returned unchanged.

        Of three levels, the table is that of the products of the first two codebooks, infinite for
        prefixes that are excluded: to look these up as well would take a fifth of the search.
        """
        prefixes = math.prod(self.sizes[:-1])
        if (
            excluded is None
            or not len(excluded)
            or excluded.dtype != torch.int64
            or prefixes > LARGEST_TABLE
        ):
            return excluded
        table = torch.zeros(prefixes, dtype=torch.bool, device=excluded.device)
        table[excluded] = True
        pairs = len(self.sizes) == LEVELS_OF_A_TABLE and prefixes <= LARGEST_EXACT
        if pairs and self.holds_products:
            return self.products[1][0].masked_fill(table.view(self.sizes[:-1]), torch.inf)
        return table


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Return twice the products of all codes of two levels: (K_a, d), (K_b, d) → (K_a, K_b)."""
    if len(a) * len(b) > LARGEST_EXACT:
        return (2 * a) @ b.T
    return (2 * a.double() @ b.double().T).float()


def sums(codebooks: Sequence[Tensor], codes: Tensor) -> Tensor:
    """Sum the codes' vectors: L tensors (K_l, d), (m, p) int64, p ≤ L → (m, d)."""
    total = torch.zeros((codes.shape[0], codebooks[0].shape[1]), device=codebooks[0].device)
    for codebook, code in zip(codebooks, codes.unbind(1), strict=False):
        total += codebook[code]
    return total


def _keep(grown: Tensor, codes: list[Tensor], width: int) -> tuple[list[Tensor], Tensor]:
    """Keep the `width` best of all grown beams.

    (m, B, K) → codes, one (m, width) a level, and scores (m, width).
    """
    m, beams, size = grown.shape
    scores, flat = top_k(grown.view(m, beams * size), width)
    parents = flat // size
    return [*(code.gather(1, parents) for code in codes), flat - parents * size], scores


def _ordered(codes: Tensor, scores: Tensor, t: int) -> tuple[Tensor, Tensor]:
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
