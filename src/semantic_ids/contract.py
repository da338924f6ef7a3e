"""The contract of a tokenizer, free of torch, so that any room may name the type.

`tokenizers/` implements it twice (`rq_kmeans`, `rq_vae`); one test-suite runs over both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from semantic_ids.artifacts import Provenance
from semantic_ids.history import History
from semantic_ids.progress import Progress


@dataclass(frozen=True)
class LinearDecoder:
    """A decoder that is a sum: x̂ = mean + axes · Σ_l codebook_l[code_l].

    Attributes:
        normalizes: Whether x̂ is brought to unit length after that, and vectors before.
        mean: Shape (D,), float32.
        axes: Shape (D, W), orthonormal columns; None for W = D without a rotation.
        codebooks: L arrays (K_l, W), float32, in units of the input.
    """

    normalizes: bool
    mean: np.ndarray
    axes: np.ndarray | None
    codebooks: Sequence[np.ndarray]


class Tokenizer(Protocol):
    """A fitted model: embeddings → codes and back.

    n, m are numbers of items, D dimensions, L levels, K_l the size of level l's codebook.
    """

    codebook_sizes: tuple[int, ...]
    dim: int
    fitted_rows: int | None
    """How many rows it was fitted on: the first of those given, which a kind may take a part of;
    None where nobody knows."""
    history: History
    """One row an epoch (rq_vae) or a round of the fit (rq_kmeans)."""
    report: dict[str, Any]
    """Rows, seconds and sizes of the training."""

    provenance: Provenance | None
    """What it was made from, where a pipeline made it."""

    @property
    def kind(self) -> str:
        """`rq_kmeans` or `rq_vae`."""

    @property
    def config(self) -> dict[str, Any]:
        """What config.json holds."""

    @property
    def content(self) -> str:
        """16 hex digits that stand for the configuration and everything learned."""

    def to(self, device: str) -> Tokenizer:
        """Move to `auto`, `cpu` or `cuda` and return itself."""

    @property
    def normalizes(self) -> bool:
        """Whether vectors are normalised first, so that `decode` returns unit vectors."""

    @property
    def preserves_distances(self) -> bool:
        """Whether the space that is quantised is that of decoded vectors, but for a shift and one
        factor for all distances.
        """

    def encode(self, vectors: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Return the codes of vectors: (m, D) → (m, L) int32.

        Chunked inside; the same whatever m is. `progress` advances by the rows that are done.
        """

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the vectors that codes or their prefixes stand for.

        (m, p) → (m, D) float32, p ≤ L.
        """

    def linear_decoder(self) -> LinearDecoder | None:
        """Return `decode` as a sum of vectors, None where it is none."""

    def distortion(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the squared error of each vector with its codes, in the space that is quantised.

        (m, D), (m, L) → (m,) float32.
        """

    def level_costs(self, vectors: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """Return the distortion of each last-level code under a given prefix.

        (m, D), (m, L − 1) → (m, K_L) float32: squared error, in the space that is quantised, of
        item i with `prefixes[i]` and code k.
        """

    def candidates(
        self,
        vectors: np.ndarray,
        t: int,
        *,
        distinct_prefixes: bool = False,
        excluded: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the t best full codes of each vector, best first, and their distortion.

        Args:
            vectors: (m, D).
            t: How many. Fewer may exist or be found: then the rest have distortion inf and codes
                −1.
            distinct_prefixes: Take only the best code under each prefix, so that the t codes have t
                prefixes.
            excluded: Keys of prefixes (`codes.keys` of the first L − 1 levels) that may not be
                used, ascending, int64.

        Returns:
            (m, t, L) int32 and (m, t) float32, ascending; equal distortions in the order of the
            codes.
        """

    def save(self, directory: str | Path) -> None:
        """Write the folder that `load_tokenizer` reads, its provenance included."""


class CostOracle(Protocol):
    """What codes cost some items: all that is asked of a tokenizer to make codes unique.

    Items are rows, numbered from 0 in the order of the item hash. L levels, K_L the size of the
    last level's codebook; costs are distortions, in the space that is quantised.
    """

    sizes: tuple[int, ...]
    """The L codebook sizes."""

    def level_costs(self, rows: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """Return the cost of each last-level code under a given prefix.

        (m,), (m, L − 1) → (m, K_L) float32.
        """

    def candidates(
        self, rows: np.ndarray, t: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best code of each of the t best prefixes, best first, and their costs.

        `excluded` holds the keys of prefixes that may not be used, ascending, int64.

        (m,) → (m, t, L) int32 and (m, t) float32: −1 and inf where fewer are found.
        """

    def distortion(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the cost of each item's codes: (m,), (m, L) → (m,) float32."""

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """Return a hash of each item's stored vector: (m,) → (m,) uint64.

        Items with equal vectors have equal costs, but for rounding; this tells who they are.
        """


Assign = Callable[[np.ndarray, CostOracle], np.ndarray]
"""Makes codes unique: codes (n, L) int32, and what codes cost the n items → unique codes (n, L)
int32."""
