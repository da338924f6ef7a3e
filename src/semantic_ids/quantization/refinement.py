"""Refinement of all codebooks together.

Codes by beam search, then the codebooks that fit these codes best, and again.

Given the codes, the squared error of the sums is a linear least-squares problem in the stacked
codebooks (A. Babenko and V. Lempitsky, CVPR 2014). Its normal equations have a diagonal block a
level, so a sweep that solves level after level costs a few small products.

Rounds of that alone end in the nearest local optimum, which is a poor one: later levels are stuck
with what greedy first levels left over. So it is preceded by annealing. Every item draws its code
among those its beam ends with, the likelier the smaller the error, at a temperature that falls to
zero: a stochastic relaxation in the sense of K. Zeger, J. Vaisey and A. Gersho (IEEE Transactions
on Signal Processing 40(2), 1992), with the beam as the neighbourhood. Each round takes other items,
as many approximate rounds do more than few exact ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from semantic_ids.arrays import chunks, one_thread
from semantic_ids.compute.threads import each_chunk
from semantic_ids.quantization.kmeans import totals
from semantic_ids.quantization.residual import ResidualQuantizer, sums

SWEEPS = 2
"""Sweeps over the levels in one solution; more made no difference, as the next round starts from
there."""
LARGEST_PAIR = 1 << 22
"""Codes of two levels, multiplied, up to which the items that they share are held in a table."""
PAIRED_ROWS = 1 << 16
"""Items at a time whose vectors of another level are summed without a table."""
LEAST_ANNEALED_BEAM = 5
"""Annealing draws among this many codes, also where codes are then chosen greedily."""

Choose = Callable[[ResidualQuantizer], Tensor]
"""Returns the codes of all items for codebooks and prices, (n, L)."""


class CodePrices(Protocol):
    """Prices of codes, as `balance.Prices` keeps them.

    Attributes:
        levels: L tensors (K_l,): what a code costs beside the squared error.
    """

    levels: list[Tensor]

    def follow(self, codes: Tensor, rows: Tensor | None = None) -> None:
        """Change with how full the codes (m, L) of these rows are."""


@dataclass(frozen=True)
class Round:
    """One round of the refinement.

    Attributes:
        codebooks: L tensors (K_l, d): after the round.
        error: Mean squared error of the items of the round, before the codebooks were solved.
        reseeded: Codes that no item had, and that were moved to badly represented items.
        fullest: Items of the fullest code of all levels, as a multiple of its level's mean; None
            where it is not looked after.
    """

    codebooks: list[Tensor]
    error: float
    reseeded: int
    fullest: float | None = None


def encode(z: Tensor, quantizer: ResidualQuantizer, t: int, beam: int) -> tuple[Tensor, Tensor]:
    """Find the t best codes in each beam and their squared errors.

    (m, d) → (m, t', L), (m, t'), t' at most t.
    """
    found = min(t, _ends(quantizer.sizes, beam))
    codes = torch.empty((len(z), found, len(quantizer.sizes)), dtype=torch.int64, device=z.device)
    errors = torch.empty((len(z), found), device=z.device)

    def work(part: slice) -> None:
        block = z[part]
        codes[part], scores = quantizer.search(block, found, beam, priced=True)
        errors[part] = scores + (block * block).sum(1, keepdim=True)

    each_chunk(work, len(z), z.device, sum(quantizer.sizes))
    return codes, errors


def anneal(
    z: Tensor,
    codebooks: list[Tensor],
    *,
    beam: int,
    rounds: int,
    rows: int,
    temperature: float,
    ridge: float,
    generator: torch.Generator,
    prices: CodePrices | None = None,
) -> Iterator[Round]:
    """Refine with codes that are drawn among the ends of each beam, at a falling temperature.

    Args:
        z: Shape (n, d).
        codebooks: L tensors (K_l, D), D ≥ d; only their first d dimensions are taken.
        beam: Width of the beam.
        rounds: How many; the temperature falls evenly over them.
        rows: Items a round; every item comes once before any comes again.
        temperature: Of the first round, in units of the mean squared error.
        ridge: See `solve`.
        generator: CPU generator of the draws.
        prices: Where they start; they follow the codes that are drawn.
    """
    beam = max(beam, LEAST_ANNEALED_BEAM)
    codebooks = [c[:, : z.shape[1]].contiguous() for c in codebooks]
    error = 0.0
    for number, drawn_rows in zip(range(rounds), _shuffled(len(z), rows, generator), strict=False):
        chosen = drawn_rows.to(z.device)
        block = z[chosen]
        quantizer = ResidualQuantizer(codebooks, prices.levels if prices else [])
        codes, errors = encode(block, quantizer, beam, beam)
        heat = temperature * (1 - number / rounds) * (error or float(errors[:, 0].mean()))
        drawn = _draw(errors, heat, generator)[:, None]
        codes = codes.gather(1, drawn[..., None].expand(-1, -1, codes.shape[2]))[:, 0]
        if prices:
            error = mean_error(block, codes, quantizer)
            prices.follow(codes, chosen)
        else:
            error = float(errors.gather(1, drawn).mean(dtype=torch.float64))
        codebooks, reseeded = solve(block, codes, codebooks, ridge)
        yield Round(codebooks, error, reseeded)


def refine(
    z: Tensor,
    codebooks: list[Tensor],
    choose: Choose,
    *,
    rounds: int,
    gain: float,
    ridge: float,
    prices: CodePrices | None = None,
) -> Iterator[Round]:
    """Alternate between choosing the codes of all items and solving for the codebooks, until the
    gain is small.

    Args:
        z: Shape (n, d).
        codebooks: L tensors (K_l, d).
        choose: Returns the codes of all rows of z, (n, L).
        rounds: At most so many.
        gain: Stop when a round lowers the error by less than this share of it.
        ridge: See `solve`.
        prices: What `choose` is given with the codebooks; unchanged.
    """
    before = torch.inf
    for _ in range(rounds):
        quantizer = ResidualQuantizer(codebooks, prices.levels if prices else [])
        codes = choose(quantizer)
        error = mean_error(z, codes, quantizer)
        if error > (1 - gain) * before:
            return
        before = error
        codebooks, reseeded = solve(z, codes, codebooks, ridge)
        yield Round(codebooks, error, reseeded)


def solve(
    z: Tensor, codes: Tensor, codebooks: list[Tensor], ridge: float
) -> tuple[list[Tensor], int]:
    """Improve the codebooks for given codes.

    Least squares with a ridge, by sweeps of block Gauss-Seidel from the codebooks at hand.

    Args:
        z: Shape (n, d).
        codes: Shape (n, L).
        codebooks: L tensors (K_l, d): where the sweeps start.
        ridge: Weight of ‖c‖² for each codebook vector, in items: what it has learnt from m items is
            shrunk by m / (m + ridge). It keeps codes with few items from following each of them,
            which new items would pay for.

    Returns:
        New codebooks, and how many codes without an item were moved to badly represented items.
    """
    sizes = [len(c) for c in codebooks]
    sums, counts = zip(
        *(totals(z, codes[:, level].contiguous(), size) for level, size in enumerate(sizes)),
        strict=True,
    )
    solved = [c.clone() for c in codebooks]
    shared = _shared_items(codes, sizes)
    with one_thread():
        for _ in range(SWEEPS):
            for level in range(len(sizes)):
                rest = sums[level].clone()
                for other in range(len(sizes)):
                    if other != level:
                        rest -= shared(level, other, solved[other])
                used = counts[level] > 0
                solved[level][used] = rest[used] / (counts[level][used, None] + ridge)
    return solved, _reseed(z, codes, solved, [count == 0 for count in counts])


def _shared_items(codes: Tensor, sizes: list[int]) -> Callable[[int, int, Tensor], Tensor]:
    """Return what sums, for each code of a level, the vectors of another level of its items.

    A product with the table of how many items two codes share, (K_a, K_b); where that would be
    larger than `LARGEST_PAIR`, the sum item by item.
    """
    tables: dict[tuple[int, int], Tensor] = {}
    with one_thread():
        for a in range(len(sizes)):
            for b in range(a + 1, len(sizes)):
                cells = sizes[a] * sizes[b]
                if cells <= LARGEST_PAIR:
                    counts = torch.bincount(codes[:, a] * sizes[b] + codes[:, b], minlength=cells)
                    tables[a, b] = counts.view(sizes[a], sizes[b]).float()

    def summed(level: int, other: int, vectors: Tensor) -> Tensor:
        if (level, other) in tables:
            return tables[level, other] @ vectors
        if (other, level) in tables:
            return tables[other, level].T @ vectors
        found = torch.zeros((sizes[level], vectors.shape[1]), device=vectors.device)
        for part in codes.split(PAIRED_ROWS):
            found += totals(vectors[part[:, other]], part[:, level].contiguous(), sizes[level])[0]
        return found

    return summed


def _reseed(z: Tensor, codes: Tensor, codebooks: list[Tensor], dead: list[Tensor]) -> int:
    """Set codes that no item has onto what the worst represented items have left over, each onto
    another item.
    """
    needed = int(sum(int(level.sum()) for level in dead))
    if not needed:
        return 0
    errors = torch.empty(len(z), device=z.device)
    for part in chunks(len(z)):
        rest = z[part] - sums(codebooks, codes[part])
        errors[part] = (rest * rest).sum(1)
    worst = errors.topk(min(needed, len(z))).indices
    rest = z[worst] - sums(codebooks, codes[worst])
    done = 0
    for level, missing in enumerate(dead):
        where = torch.nonzero(missing).flatten()[: len(worst) - done]
        these = slice(done, done + len(where))
        taken = codebooks[level][codes[worst[these], level]]
        codebooks[level][where] = rest[these] + taken
        done += len(where)
    return done


def mean_error(z: Tensor, codes: Tensor, quantizer: ResidualQuantizer) -> float:
    """Return the mean squared error of vectors with these codes: (n, d), (n, L)."""
    errors = torch.empty(len(z), device=z.device)

    def work(part: slice) -> None:
        errors[part] = quantizer.errors(z[part], codes[part])

    each_chunk(work, len(z), z.device, z.shape[1])
    return float(errors.mean(dtype=torch.float64))


def _draw(errors: Tensor, heat: float, generator: torch.Generator) -> Tensor:
    """Draw one of the codes of each row with probability ∝ exp(−error / heat), by the Gumbel trick.

    (m, t) → (m,).
    """
    if heat <= 0:
        return errors.argmin(1)
    waits = torch.empty(errors.shape).exponential_(generator=generator).to(errors.device)
    return ((errors[:, :1] - errors) / heat - waits.log()).argmax(1)


def _shuffled(n: int, rows: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield row numbers without end, `rows` at a time.

    All n in a random order before the next order begins.
    """
    if rows >= n:
        while True:
            yield torch.arange(n)
    left = torch.arange(0)
    while True:
        order = torch.randperm(n, generator=generator)
        if len(left):  # the rest of an order and, of the next, the first that are not in it
            fresh = order[~torch.isin(order, left)][: rows - len(left)]
            yield torch.cat([left, fresh])
            order = order[~torch.isin(order, fresh)]
        rest = len(order) % rows
        yield from order[: len(order) - rest].view(-1, rows)
        left = order[len(order) - rest :]


def _ends(sizes: list[int], beam: int) -> int:
    """How many codes a beam of this width ends with."""
    ends = 1
    for size in sizes[:-1]:
        ends = min(beam, ends * size)
    return ends * sizes[-1]
