"""How evenly the codes of each level are used, over the whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def code_counts(codes: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """Count the items of each code of each level: (n, L) → L arrays (K_l,) int64."""
    return [np.bincount(codes[:, level], minlength=size) for level, size in enumerate(sizes)]


def usage(counts: Sequence[np.ndarray]) -> dict[str, float | int]:
    """Say how the codebooks are used. Levels are counted from 1.

    With p the shares of the codes, the perplexity is exp(−Σ p log p): how many evenly used codes
    would carry as much (Jelinek et al., JASA 62(S1), 1977). The entropy ratio is −Σ p log p / log
    K, and 1 for a codebook of a single code. The
    fullest code is counted as a multiple of the mean, n / K.

    Args:
        counts: Items of each code, an array (K_l,) a level.
    """
    metrics: dict[str, float | int] = {}
    for level, count in enumerate(counts, start=1):
        entropy = _entropy(count)
        metrics[f"codes.usage.{level}"] = float((count > 0).mean())
        metrics[f"codes.perplexity.{level}"] = float(np.exp(entropy))
        metrics[f"codes.entropy_ratio.{level}"] = (
            entropy / float(np.log(len(count))) if len(count) > 1 else 1.0
        )
        metrics[f"codes.dead.{level}"] = int((count == 0).sum())
        metrics[f"codes.fullest.{level}"] = float(count.max() / count.mean())
    return metrics


def _entropy(count: np.ndarray) -> float:
    shares = count[count > 0] / count.sum()
    return max(0.0, float(-(shares * np.log(shares)).sum()))
