"""A run that is about to begin, as far as its cost depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any


@dataclass(frozen=True)
class Run:
    """What is about to run.

    Attributes:
        kind: `rq_kmeans` or `rq_vae`.
        codebook_sizes: L sizes.
        seed: Seed of everything random.
        device: `auto`, `cpu` or `cuda`.
        preprocess: Options of the preprocessing.
        options: Options of the kind.
        strategy: `reassign`, `suffix` or `none`.
        candidates: Prefixes that an item of an overfull one is offered at a time.
        items: n items of the catalogue.
        fit_items: Items that the tokenizer is fitted on.
        watched_items: Items that an rq_vae watches, of those or of others.
        twin_items: Items that a twin is fitted on; 0 without one.
        queries: Items whose neighbours are compared.
    """

    kind: str
    codebook_sizes: Sequence[int]
    seed: int
    device: str
    preprocess: Any
    options: Mapping[str, Any]
    strategy: Any
    candidates: int
    items: int
    fit_items: int
    watched_items: int
    twin_items: int
    queries: int

    @property
    def passes(self) -> int:
        """Epochs of an rq_vae; 1 for an rq_kmeans, which sees all its items a few times."""
        return int(self.options["schedule"]["epochs"]) if self.kind == "rq_vae" else 1

    @property
    def fewer_epochs(self) -> bool:
        """Whether training may well stop earlier."""
        return self.kind == "rq_vae" and self.options["selection"]["patience"] is not None


def pairs_of_codes(sizes: Sequence[int]) -> int:
    """Return of how many pairs of codes of different levels there are products."""
    return sum(int(a) * int(b) for a, b in combinations(sizes, 2))
