"""Balance: prices that keep codes from being too full.

Codes of least error of which none has more than so many items: a problem with one constraint a
code, whose Lagrange multipliers are prices ≥ 0, one a code. With them each item takes for itself
what is best for it, the prices of its codes added to the squared error (H. Everett, Operations
Research 11(3), 1963). So codes stay a function of the item alone, and new items find the prices in
place. The dual problem is concave and load − limit one of its supergradients: the price of a code
that is too full is raised, that of one with room to spare is lowered. Each price has a step of its
own, which grows as long as the price keeps its direction and shrinks when it turns (M. Riedmiller
and H. Braun, IEEE International Conference on Neural Networks, 1993).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from semantic_ids.hashing import vector_hash
from semantic_ids.quantization.refinement import Choose, Round, mean_error, solve
from semantic_ids.quantization.residual import ResidualQuantizer

logger = logging.getLogger(__name__)

FOLLOWED_ROUNDS, SETTLED_ROUNDS = 16, 24
"""Rounds in which codebooks and prices follow each other, and rounds of prices alone, at most."""
AIM = 0.97
"""Prices aim at this share of the limit: what they then still miss is within it, and so is a little
more of what new items add."""
FIRST_STEP, LEAST_STEP = 0.1, 1e-4
"""Steps of the prices, in units of the mean squared error: the first one, and the shortest; the
longest is 1."""
FASTER, SLOWER = 1.2, 0.6
"""What a step is multiplied by where a price keeps its direction, and where it turns."""
PUSH, HARDER, SOFTER = 0.005, 1.5, 0.5
"""The first push to a code that is still too full in the end, in the same unit, and what it is
multiplied by in the next round."""


class Prices:
    """Prices of all codes, which follow how full the codes are.

    Args:
        z: Items to be balanced, shape (n, d).
        sizes: Size of each level's codebook.
        balance: How full a code may be, as a multiple of the mean n / K_l; rounded up to whole
            items.
        unit: A mean squared error: what steps are counted in.

    Attributes:
        levels: L tensors (K_l,): the prices.
    """

    def __init__(self, z: Tensor, sizes: Sequence[int], balance: float, unit: float) -> None:
        self.levels = [torch.zeros(size, device=z.device) for size in sizes]
        self.balance, self.unit, self.items = balance, unit, len(z)
        self._crowd, self._crowds = _crowds(z, min(self.most(size) for size in sizes))
        self.restart(FIRST_STEP)

    def restart(self, step: float) -> None:
        """Give all prices this step, in units of the mean squared error."""
        self._steps = [torch.full_like(price, step * self.unit) for price in self.levels]
        self._turned = [torch.zeros_like(price) for price in self.levels]

    def most(self, size: int) -> int:
        """Say how many items a code of a codebook of this size may have."""
        return math.ceil(self.balance * self.items / size)

    def follow(self, codes: Tensor, rows: Tensor | None = None) -> None:
        """Raise the prices of full codes and lower the others', by the codes.

        (m, L) of these rows, all if None.
        """
        crowd = self._crowd if rows is None else self._crowd[rows]
        for level, price in enumerate(self.levels):
            load = torch.bincount(codes[:, level], minlength=len(price)).float()
            limit = torch.clamp(
                self._crowded(codes[:, level], crowd, len(price)),
                min=AIM * self.balance * len(codes) / len(price),
            )
            wanted = (load.clamp(min=0.5) / limit).log().clamp(-1, 1)
            turned = wanted * self._turned[level]
            factor = torch.where(turned > 0, FASTER, torch.where(turned < 0, SLOWER, 1.0))
            self._steps[level] = (self._steps[level] * factor).clamp(
                LEAST_STEP * self.unit, self.unit
            )
            raised = (price + self._steps[level] * wanted).clamp(min=0)
            self._turned[level] = torch.where((raised > 0) | (price > 0), wanted, 0.0)
            self.levels[level] = raised

    def push(self, codes: Tensor) -> None:
        """Raise the prices of codes that are too full, by the codes (n, L) of all rows.

        Leave the others.
        """
        for level, (load, limit) in enumerate(self.loads(codes)):
            over = load > limit
            self.levels[level] = torch.where(
                over, self.levels[level] + self._steps[level], self.levels[level]
            )
            factor = torch.where(over, HARDER, SOFTER)
            self._steps[level] = (self._steps[level] * factor).clamp(PUSH * self.unit, self.unit)

    def loads(self, codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each level, the items of each code and how many it may have.

        (n, L) → (K_l,), (K_l,).

        Equal vectors cannot be parted, so a code may have as many items as its largest group of
        equal vectors.
        """
        for level, price in enumerate(self.levels):
            load = torch.bincount(codes[:, level], minlength=len(price))
            yield (
                load,
                self._crowded(codes[:, level], self._crowd, len(price)).clamp(
                    min=self.most(len(price))
                ),
            )

    def excess(self, codes: Tensor) -> float:
        """Say how full the fullest code is, as a share of what it may have.

        1 where all keep their limits.
        """
        return max(1.0, *(float((load / limit).max()) for load, limit in self.loads(codes)))

    def fullest(self, codes: Tensor) -> float:
        """Return the items of the fullest code of all levels, as a multiple of its level's mean."""
        return max(
            float(load.max()) * len(price) / len(codes)
            for price, (load, _) in zip(self.levels, self.loads(codes), strict=True)
        )

    def report(self, codes: Tensor) -> None:
        """Warn where a code is fuller than it may be, and say why."""
        for level, (load, limit) in enumerate(self.loads(codes), start=1):
            code, size = int((load / limit).argmax()), len(load)
            if load[code] <= limit[code]:
                code = int(load.argmax())
            full, most = int(load[code]), self.most(size)
            if full > most:
                logger.warning(
                    "balance: code %d of level %d has %s of the %s items fitted on, %.2f times the"
                    " mean; rq_kmeans.balance asks for at most %g. %s",
                    code,
                    level,
                    f"{full:,}",
                    f"{self.items:,}",
                    full * size / self.items,
                    self.balance,
                    (
                        f"{int(limit[code]):,} of them have the very same vector, and no code can"
                        " part them"
                        if limit[code] > most
                        else (
                            "Vectors may be too alike to be parted, or the limit too near the mean:"
                            " a larger one may be kept"
                        )
                    ),
                )

    def _crowded(self, codes: Tensor, crowd: Tensor, size: int) -> Tensor:
        """Count the largest group of equal vectors in each code, of those groups that are larger
        than a limit: (m,), (m,) → (K,).
        """
        if not self._crowds:
            return torch.zeros(size, dtype=torch.int64, device=codes.device)
        among = crowd >= 0
        pairs = codes[among] * self._crowds + crowd[among]
        return torch.bincount(pairs, minlength=size * self._crowds).view(size, self._crowds).amax(1)


def _crowds(z: Tensor, limit: int) -> tuple[Tensor, int]:
    """Number the groups of more than `limit` equal vectors.

    (n, d) → (n,) int64, −1 in no such group, and how many there are.
    """
    _, group, sizes = np.unique(
        vector_hash(z.cpu().numpy()), return_inverse=True, return_counts=True
    )
    large = sizes > limit
    numbers = np.where(large, np.cumsum(large) - 1, -1)
    return torch.from_numpy(numbers[group]).to(z.device), int(large.sum())


def fit_prices(
    z: Tensor, codebooks: list[Tensor], prices: Prices, choose: Choose, ridge: float
) -> Iterator[Round]:
    """Let prices and codebooks follow each other.

    The codebooks are solved for the balanced codes every other round only, so that the prices can
    keep up. A code that this draws nearer to the origin is nearer to every item from then on, and
    its price rises by as much.

    Args:
        z: Shape (n, d).
        codebooks: L tensors (K_l, d).
        prices: Where they start; changed.
        choose: Returns the codes of all rows of z.
        ridge: See `refinement.solve`.
    """
    for number in range(FOLLOWED_ROUNDS):
        quantizer = ResidualQuantizer(codebooks, prices.levels)
        codes = choose(quantizer)
        error, fullest, reseeded = mean_error(z, codes, quantizer), prices.fullest(codes), 0
        prices.follow(codes)
        if number % 2:
            before = codebooks
            codebooks, reseeded = solve(z, codes, codebooks, ridge)
            nearer = [
                (old.square().sum(1) - new.square().sum(1)).clamp(min=0)
                for old, new in zip(before, codebooks, strict=True)
            ]
            prices.levels = [
                price + gained for price, gained in zip(prices.levels, nearer, strict=True)
            ]
        yield Round(codebooks, error, reseeded, fullest)


def settle(z: Tensor, codebooks: list[Tensor], prices: Prices, choose: Choose) -> Iterator[Round]:
    """Find prices for fixed codebooks, until no code is too full.

    Leave the best ones found in `prices`.

    The first half of the rounds lets prices rise and fall, the other half only pushes codes that
    are too full. The best are those with the least full fullest code; where several keep the
    limits, those with the least error.
    """
    best, kept = (torch.inf, torch.inf, torch.inf), prices.levels
    prices.restart(PUSH)
    for number in range(SETTLED_ROUNDS):
        quantizer = ResidualQuantizer(codebooks, prices.levels)
        codes = choose(quantizer)
        error, excess, fullest = (
            mean_error(z, codes, quantizer),
            prices.excess(codes),
            prices.fullest(codes),
        )
        if (excess, error, fullest) < best:
            best, kept = (excess, error, fullest), prices.levels
        if excess <= 1 or number == SETTLED_ROUNDS - 1:
            break
        yield Round(codebooks, error, 0, fullest)
        prices.levels = list(prices.levels)
        if number < SETTLED_ROUNDS // 2:
            prices.follow(codes)
        else:
            prices.push(codes)
    prices.levels = kept
    _, error, fullest = best
    yield Round(codebooks, error, 0, fullest)  # of the prices that are kept
