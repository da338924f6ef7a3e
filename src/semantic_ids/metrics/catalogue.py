"""All metrics of the catalogue, put together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from semantic_ids.artifacts import Codes, Embeddings
from semantic_ids.contract import Tokenizer
from semantic_ids.grouping import Partition
from semantic_ids.metrics import collisions, duplicates, hierarchy, neighbours, usage
from semantic_ids.metrics.distortion import added_latent_distortion
from semantic_ids.metrics.reconstruction import Reconstruction, reconstruct

COSINE_BINS = 200
"""Bins of the histogram of cosines, of equal width, from −1 to 1."""


def evaluate(
    embeddings: Embeddings,
    tokenizer: Tokenizer,
    codes: Codes,
    ids: Codes,
    *,
    held_out: np.ndarray | None = None,
    labels: Mapping[str, np.ndarray] | None = None,
    queries: int = 1000,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure the whole catalogue.

    Args:
        embeddings: n items.
        tokenizer: Made the codes.
        codes: Codes of the items.
        ids: The semantic IDs made of them.
        held_out: Shape (n,), bool: the items that the tokenizer was not fitted on; None where it
            was fitted on all.
        labels: Name → shape (n,), int, −1 for none.
        queries: Items whose neighbours are compared.

    Returns:
        The metrics by name, and what the figures are drawn from, both JSON-like. A metric that has
        no value is absent.
    """
    vectors, unique = embeddings.vectors, ids.tokenizer_codes
    held_out = np.zeros(len(codes), dtype=bool) if held_out is None else held_out
    same_codes, same_vector = (
        collisions.groups(codes),
        duplicates.equal_vectors(vectors, embeddings.vector_hashes),
    )
    counts = usage.code_counts(codes.codes, codes.sizes)
    fitted = fitted_items(held_out, tokenizer.fitted_rows)
    found = reconstruct(vectors, tokenizer, codes.codes, unique, fitted, held_out)
    cohesion = hierarchy.cohesion(vectors, unique, codes.sizes)
    latent = (
        found.added_distortion
        if tokenizer.preserves_distances
        else added_latent_distortion(vectors, tokenizer, codes.codes, unique)
    )
    figures, of_errors = _for_figures(counts, same_codes, found, cohesion), found.metrics()
    prices = {"ids.added_distortion": found.added_distortion, "ids.added_latent_distortion": latent}
    del found  # what there is of each item is not needed for what follows
    metrics = {
        "items.count": len(codes),
        **of_errors,
        **collisions.collisions(same_codes),
        **usage.usage(counts),
        **collisions.moves(codes, ids),
        **prices,
        "duplicates.exact_rate": duplicates.exact_rate(same_vector),
        "neighbours.recall_at_10": neighbours.recall(
            vectors, tokenizer, codes.codes, same_vector, same_codes, queries
        ),
        **{f"hierarchy.cohesion.{p or 'random'}": value for p, value in cohesion.items()},
        **hierarchy.agreement(unique, codes.sizes, labels or {}),
    }
    return {name: value for name, value in metrics.items() if _has_value(value)}, figures


def fitted_items(held_out: np.ndarray, fitted_rows: int | None) -> np.ndarray:
    """Return which items the tokenizer learned from: (n,) bool.

    The first so many that are not held out, as a fit takes them; all of these where nobody knows.
    """
    fitted = ~held_out
    if fitted_rows is not None:
        fitted[np.flatnonzero(fitted)[fitted_rows:]] = False
    return fitted


def _has_value(value: float | str | None) -> bool:
    """Whether a metric can be written.

    JSON knows no infinity, which is what a ratio to nothing is.
    """
    return isinstance(value, str) or (value is not None and math.isfinite(value))


def _for_figures(
    counts: list[np.ndarray],
    same_codes: Partition,
    found: Reconstruction,
    cohesion: Mapping[int, float],
) -> dict[str, Any]:
    """Return what the figures need, JSON-like.

    `code_counts`: items of each code, a list a level. `collision_groups`: size of a group of equal
    codes → number of such groups, size 1 included. `cosine_counts`: items in each bin of the cosine
    from −1 to 1. `cohesion`: length of prefix → mean cosine, `0` for all pairs.
    """
    sizes, groups = np.unique(same_codes.sizes, return_counts=True)
    cosines = np.histogram(found.cosine.clip(-1, 1), bins=COSINE_BINS, range=(-1, 1))[0]
    return {
        "code_counts": [count.tolist() for count in counts],
        "collision_groups": {
            str(size): int(number) for size, number in zip(sizes, groups, strict=True)
        },
        "cosine_counts": cosines.tolist(),
        "cohesion": {str(p): value for p, value in cohesion.items()},
    }
