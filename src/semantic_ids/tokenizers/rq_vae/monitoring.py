"""Validation of an epoch: over all the rows watched, and over the catalogue.

Nothing is a mean of batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import one_thread
from semantic_ids.codes import keys
from semantic_ids.errors import BadInput
from semantic_ids.learning import distributed
from semantic_ids.tokenizers.rq_vae.networks import Passed


class Validation:
    """Sums over chunks of prepared vectors.

    (m, W), in float64, which all processes add up in the end.

    Args:
        width: Width W.
        device: Where the sums are kept.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.sums = torch.zeros(6, dtype=torch.float64, device=device)
        self.total = torch.zeros(width, dtype=torch.float64, device=device)

    @one_thread()
    def add(self, x: Tensor, passed: Passed) -> None:
        """Take a chunk in."""
        decoded, quantized = passed.decoded, passed.quantized
        cosine = torch.nn.functional.cosine_similarity(decoded, x)
        parts = [
            ((decoded - x) ** 2),
            quantized.commitment,
            quantized.codebook,
            x * x,
            cosine,
            torch.ones_like(cosine),
        ]
        self.sums += torch.stack([part.sum(dtype=torch.float64) for part in parts])
        self.total += x.sum(0, dtype=torch.float64)

    def row(self, split: str, reconstruction: str) -> dict[str, float]:
        """Return the columns that a validation adds to the history.

        Distances and losses are means over the items.

        Args:
            split: What the names of the columns begin with: `validation`, or `watched` where some
                of the rows were trained on.
            reconstruction: Loss of the reconstruction: `mse` or `cosine`.
        """
        distributed.all_reduce(self.sums, self.total)
        error, commitment, codebook, squares, cosine, count = self.sums.cpu().tolist()
        spread = squares - float(self.total @ self.total) / count
        return {
            f"{split}_reconstruction": (
                error / count if reconstruction == "mse" else 1 - cosine / count
            ),
            f"{split}_commitment": commitment / count,
            f"{split}_codebook": codebook / count,
            f"{split}_relative_mse": error / spread if spread > 0 else 0.0,
            f"{split}_cosine": cosine / count,
        }


def catalogue_row(codes: np.ndarray, sizes: Sequence[int]) -> dict[str, Any]:
    """Return the columns that a look at the catalogue adds to the history.

    Codes (n, L) of its items, or of a fixed sample of them.

    `unique_rate` is different codes / items, `collision_rate` the share of items that share their
    codes. For each level: `usage` (share of the codes that are used), `dead` (codes that are not)
    and `perplexity` (2 to the entropy of their use: by how many codes, evenly used, the same would
    be said).
    """
    counts = np.unique(keys(codes, sizes), return_counts=True)[1]
    row: dict[str, Any] = {
        "unique_rate": len(counts) / len(codes),
        "collision_rate": float(counts[counts > 1].sum() / len(codes)),
    }
    for level, size in enumerate(sizes, start=1):
        uses = np.bincount(codes[:, level - 1], minlength=size)
        share = uses[uses > 0] / len(codes)
        row[f"usage.{level}"] = float((uses > 0).mean())
        row[f"dead.{level}"] = int((uses == 0).sum())
        row[f"perplexity.{level}"] = float(np.exp(-(share * np.log(share)).sum()))
    return row


def refuse_collapse(row: Mapping[str, Any], sizes: Sequence[int], items: int, least: float) -> None:
    """Raise `BadInput` where the items of the catalogue use a level as if it had less than a share
    `least` of its codes.
    """
    for level, size in enumerate(sizes, start=1):
        possible = min(size, items)
        if row[f"perplexity.{level}"] < least * possible:
            raise BadInput(
                f"level {level} has collapsed in epoch {row['step']}: {row[f'dead.{level}']} of"
                f" its {size} codes are dead, and the catalogue uses it as if it had"
                f" {row[f'perplexity.{level}']:.1f} codes",
                where="tokenizer.rq_vae",
                expected=(
                    f"a perplexity of at least {least:g} × {possible} = {least * possible:g}"
                    " (selection.collapse_below)"
                ),
                do=(
                    "take a lower optimizer.learning_rate or encoder_rate, a higher"
                    " codebook.reset_below or loss.commitment, codebook.init rq_kmeans, or smaller"
                    " codebooks; if the vectors are this alike, lower selection.collapse_below"
                ),
            )


def described(row: Mapping[str, Any]) -> str:
    """Write what a log says of a row of the history."""
    split = "validation" if "validation_cosine" in row else "watched"
    parts = [
        f"{split} relative MSE {row[f'{split}_relative_mse']:.4f}",
        f"cosine {row[f'{split}_cosine']:.4f}",
    ]
    if "collision_rate" in row:
        perplexity, dead = (
            " ".join(f"{value:.0f}" for name, value in row.items() if name.startswith(part))
            for part in ("perplexity.", "dead.")
        )
        parts.append(
            f"colliding items {row['collision_rate']:.1%}, perplexity {perplexity}, dead codes"
            f" {dead}"
        )
    return ", ".join(parts)
