"""Candidates of a search for the nearest by cosine: how a block of them is scored.

Each score is known up to a bound, which says which pairs need an exact one: see `nearest`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from semantic_ids.contract import LinearDecoder

FLOAT32_BOUND = 1e-5
"""How far a float32 product of unit rows may be from their cosine: several times its rounding."""
BFLOAT16_STEP = 2.0**-8
"""How far a number in bfloat16, which keeps 8 bits, may be from the number it stands for, as a
share of it."""
FLOAT32_SUM_BOUND = 2.0**-12
"""How far a float32 sum of products of unit rows may be from the exact one, at worst."""
SUM_BOUND = 2.0**-18
"""How far a float32 sum of a few terms may be from the exact one, as a share of the sum of their
sizes."""
CLOSER_ROWS = 128
"""Candidates whose pairs are multiplied in float32 at a time."""
LARGEST_PRODUCTS = 1 << 24
"""Products of all codes with all codes up to which they are held in a table, of 128 MB: norms of
sums are looked up there. Of larger codebooks the sums are added up."""
PRODUCTS_A_PAIR = 64
"""An exact score of one pair takes longer than so many pairs in a float32 matrix product."""


class Candidates(Protocol):
    """Some candidates, few enough for a table of their scores with all queries."""

    @property
    def numbers(self) -> np.ndarray:
        """Shape (m,): what each candidate is called."""

    def __len__(self) -> int: ...

    def scores(self) -> tuple[Tensor, Tensor]:
        """Return about the cosine of each query with each candidate, and by how much at most it
        differs from that of the exact one: (q, m) and (m,).
        """

    def closer(self, query: np.ndarray, place: np.ndarray) -> np.ndarray | None:
        """Return about the cosines of pairs, off by `FLOAT32_BOUND` at most: (p,), (p,) → (p,).

        inf, or None for all, where that takes as long as the exact ones.
        """

    def rows(self, places: np.ndarray) -> np.ndarray:
        """Return the vectors of some of the candidates: (p,) → (p, D) float32."""


@dataclass(frozen=True)
class Directions:
    """Queries of unit length.

    Attributes:
        unit: Shape (q, D) float32.
        fast: The same in bfloat16, where this machine multiplies that faster, or None.
    """

    unit: Tensor
    fast: Tensor | None = None

    @classmethod
    def of(cls, queries: np.ndarray) -> Directions:
        """Scale queries to unit length."""
        import torch

        from semantic_ids.compute.devices import cpu_has_bfloat16

        unit = torch.from_numpy(_unit(queries))
        return cls(unit, unit.bfloat16() if cpu_has_bfloat16() else None)

    @cached_property
    def lost(self) -> float:
        """‖q − q̂‖ of the query that loses most in bfloat16."""
        return float(_lost(self.unit, self.fast).max()) if self.fast is not None else 0.0


@dataclass(frozen=True)
class Vectors:
    """Candidates that are scored by a product with the queries.

    Attributes:
        queries: Of unit length.
        vectors: Shape (m, D) float32; best with those near each other that are alike, as they are
            candidates of the same queries.
        numbers: Shape (m,).
    """

    queries: Directions
    vectors: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.vectors)

    def scores(self) -> tuple[Tensor, Tensor]:
        """Multiply, in the type that this machine multiplies fastest.

        With hats on what is rounded, |q·x − q̂·x̂| ≤ ‖q − q̂‖ ‖x‖ + ‖q̂‖ ‖x − x̂‖; then the product
        is rounded itself.
        """
        import torch

        unit, fast = torch.from_numpy(_unit(self.vectors)), self.queries.fast
        if fast is None:
            return self.queries.unit @ unit.T, torch.full((len(unit),), FLOAT32_BOUND)
        rounded, lost = unit.bfloat16(), self.queries.lost
        bounds = lost + (1 + lost) * _lost(unit, rounded) + BFLOAT16_STEP + FLOAT32_SUM_BOUND
        return fast @ rounded.T, bounds

    def closer(self, query: np.ndarray, place: np.ndarray) -> np.ndarray | None:
        """Multiply the queries and candidates that there are pairs of, in float32, a few candidates
        at a time: of those that are alike, few queries are asked.
        """
        if self.queries.fast is None:
            return None
        found = np.empty(len(query), dtype=np.float32)
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange(0, len(self) + CLOSER_ROWS, CLOSER_ROWS))
        for begin, end in pairwise(ends.tolist()):
            pairs = order[begin:end]
            found[pairs] = self._products(query[pairs], place[pairs])
        return found

    def _products(self, query: np.ndarray, place: np.ndarray) -> np.ndarray | float:
        """Return the products of pairs, or inf: see `closer`."""
        import torch

        (asked, q), (used, p) = distinct(query), distinct(place)
        if len(asked) * len(used) > PRODUCTS_A_PAIR * len(query):
            return np.inf
        unit = torch.from_numpy(_unit(self.vectors[used]))
        return (self.queries.unit[torch.from_numpy(asked)] @ unit.T).numpy()[q, p]

    def rows(self, places: np.ndarray) -> np.ndarray:
        """Look them up."""
        return self.vectors[places]


class SumsOfCodes:
    """Scores codes whose vectors are sums, x̂ = mean + Σ_l c_l: the product of a query with x̂ is a
    sum of L + 1 numbers of a table, which takes D / L times less than to multiply (the tables of
    Jégou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI 33(1), 2011).

    Args:
        queries: Shape (q, D).
        decoder: Of the tokenizer.
    """

    def __init__(self, queries: np.ndarray, decoder: LinearDecoder) -> None:
        import torch

        axes = np.eye(queries.shape[1]) if decoder.axes is None else decoder.axes.astype(np.float64)
        parts = [np.asarray(c, dtype=np.float64) @ axes.T for c in decoder.codebooks]
        stacked = np.concatenate([*parts, decoder.mean[None].astype(np.float64)])
        self._offsets = np.cumsum([0, *(len(part) for part in parts)])
        self._stacked = stacked
        self._products = stacked @ stacked.T if len(stacked) ** 2 <= LARGEST_PRODUCTS else None
        self._sizes = np.sqrt(np.einsum("ij,ij->i", stacked, stacked))
        directions = _unit(queries).astype(np.float64)
        self.table = torch.from_numpy((stacked @ directions.T).astype(np.float32))

    def places(self, codes: np.ndarray) -> np.ndarray:
        """Return the rows of the table that each candidate is the sum of: (m, L) → (m, L + 1)."""
        return np.concatenate(
            [codes + self._offsets[:-1], np.full((len(codes), 1), self._offsets[-1])], axis=1
        )

    def norms(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the norm of each sum, and the sum of the norms of its terms: (m, L + 1) → (m,)."""
        levels = places.T
        if self._products is None:
            total = sum(self._stacked[level] for level in levels)
            squares = np.einsum("ij,ij->i", total, total)
        else:
            squares = sum(self._products[a, b] for a in levels for b in levels)
        return np.sqrt(np.maximum(squares, 0.0)), self._sizes[places].sum(axis=1)


@dataclass(frozen=True)
class CodeSums:
    """Candidates that are scored by sums.

    Attributes:
        sums: The queries' tables.
        codes: Shape (m, L).
        decode: (p, L) → (p, D) float32.
        numbers: Shape (m,).
    """

    sums: SumsOfCodes
    codes: np.ndarray
    decode: Callable[[np.ndarray], np.ndarray]
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    def scores(self) -> tuple[Tensor, Tensor]:
        """Add up. Where the terms cancel, the bound is wide, and the exact product decides."""
        import torch

        places = self.sums.places(self.codes)
        norms, terms = self.sums.norms(places)
        norms = np.maximum(norms, terms * 1e-7 + np.finfo(np.float32).tiny)
        added = torch.nn.functional.embedding_bag(
            torch.from_numpy(places), self.sums.table, mode="sum"
        )
        added /= torch.from_numpy(norms.astype(np.float32))[:, None]
        bounds = FLOAT32_BOUND + SUM_BOUND * terms / norms
        return added.T, torch.from_numpy(bounds.astype(np.float32))

    def closer(self, query: np.ndarray, place: np.ndarray) -> np.ndarray | None:
        """Nothing: the sums are as close."""

    def rows(self, places: np.ndarray) -> np.ndarray:
        """Decode them."""
        return self.decode(self.codes[places])


def _unit(x: np.ndarray) -> np.ndarray:
    """Scale rows to unit length in float32; norms in float64, so that none overflows."""
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return (x / np.where(norms > 0, norms, 1.0).astype(np.float32)[:, None]).astype(np.float32)


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the different numbers, ascending, and the place of each number among them.

    (p,) small integers ≥ 0 → (u,), (p,).
    """
    found = np.bincount(numbers) > 0
    return np.flatnonzero(found), (np.cumsum(found) - 1)[numbers]


def _lost(x: Tensor, rounded: Tensor) -> Tensor:
    """Return ‖x − x̂‖ of each row: (m, D), (m, D) → (m,)."""
    import torch

    return torch.linalg.vector_norm(x - rounded, dim=1)
