"""What de-duplication cost in the space that is quantised, where it chose the IDs."""

from __future__ import annotations

import numpy as np

from semantic_ids.arrays import chunks, prefetch, read_rows
from semantic_ids.contract import Tokenizer
from semantic_ids.metrics.reconstruction import added
from semantic_ids.progress import Progress


def added_latent_distortion(
    vectors: np.ndarray, tokenizer: Tokenizer, codes: np.ndarray, unique: np.ndarray
) -> float:
    """Return the distortion that de-duplication added, as a ratio to the distortion before it.

    Args:
        vectors: Shape (n, D).
        tokenizer: Made the codes.
        codes: Shape (n, L).
        unique: Shape (n, L): codes after de-duplication, without suffix.
    """
    changed = (codes != unique).any(axis=1)
    if not changed.any():
        return 0.0
    before = np.empty(len(codes))
    after = np.empty(len(codes))
    with Progress("evaluate: distortion", total=len(codes)) as progress:
        for part, x in prefetch((part, read_rows(vectors, part)) for part in chunks(len(codes))):
            before[part] = after[part] = tokenizer.distortion(x, codes[part])
            moved = np.flatnonzero(changed[part])
            if len(moved):
                after[part.start + moved] = tokenizer.distortion(
                    x[moved], unique[part.start + moved]
                )
            progress.advance(len(x))
    return added(float(before.sum()), float(after.sum()))
