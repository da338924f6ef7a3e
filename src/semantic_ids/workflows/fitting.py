"""Vectors → a fitted tokenizer, whose codebooks are refined for the IDs that are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from semantic_ids.hashing import mix
from semantic_ids.identifiers.options import IdentifyOptions
from semantic_ids.options import Options, option, same_as
from semantic_ids.workflows.options import TokenizerOptions

if TYPE_CHECKING:
    from semantic_ids.contract import Assign, Tokenizer
    from semantic_ids.learning.checkpoints import Checkpoints


@dataclass(frozen=True)
class FitOptions(Options):
    """What a tokenizer is to be, and which IDs it is for."""

    kind: Literal["rq_kmeans", "rq_vae"] = same_as(TokenizerOptions, "kind")
    codebook_sizes: tuple[int, ...] = same_as(TokenizerOptions, "codebook_sizes")
    seed: int = same_as(TokenizerOptions, "seed")
    device: str = same_as(TokenizerOptions, "device")
    preprocess: Any = option(None, "The group of the preprocessing, or a mapping.")
    options: Any = option(None, "The group of the kind, or a mapping.")
    strategy: Literal["reassign", "suffix", "none"] = same_as(IdentifyOptions, "strategy")
    candidates: int = same_as(IdentifyOptions, "candidates")

    @property
    def assign(self) -> Assign | None:
        """What makes codes unique in the end; None where nothing does or a suffix will."""
        if self.strategy != "reassign":
            return None
        from semantic_ids.identifiers import unique_codes

        return partial(unique_codes, candidates=self.candidates)


def fit(
    vectors: np.ndarray,
    options: FitOptions,
    *,
    validation: np.ndarray | None = None,
    fit_on: str = "all",
    monitor_rows: np.ndarray | None = None,
    checkpoints: Checkpoints | None = None,
) -> Tokenizer:
    """Fit a tokenizer.

    Args:
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        options: What it is to be.
        validation: Shape (n,), bool: the items held out; none if None.
        fit_on: `all`, or `train` for the items that are not held out.
        monitor_rows: Rows that rq_vae watches; those held out if None, or where there are none
            those fitted on.
        checkpoints: Where rq_vae keeps its state while it trains.

    Raises:
        BadInput: See `tokenizers.fit_tokenizer`.
    """
    from semantic_ids.tokenizers import fit_tokenizer

    held_out = np.zeros(len(vectors), dtype=bool) if validation is None else validation
    fitted: Any = fit_tokenizer(
        vectors,
        kind=options.kind,
        codebook_sizes=options.codebook_sizes,
        seed=options.seed,
        device=options.device,
        preprocess=options.preprocess,
        options=options.options,
        rows=np.flatnonzero(~held_out) if fit_on == "train" else None,
        monitor_rows=np.flatnonzero(held_out) if monitor_rows is None else monitor_rows,
        assign=options.assign,
        checkpoints=checkpoints,
    )
    return fitted


SIDE = np.uint64(0x5EED)
"""Added to a vector's hash before it is mixed once more: which items are held out."""


def held_out(vector_hashes: np.ndarray, share: float) -> np.ndarray:
    """Choose the items that are held out for validation: (n,) uint64 → (n,) bool.

    The side of an item follows from its vector alone, so items with equal vectors are on the same
    side, and more items never move the ones there are. The hashes are mixed once more: that of a
    zero vector is 0, which would always be held out.
    """
    return mix(vector_hashes + SIDE) < np.uint64(share * 2.0**64)
