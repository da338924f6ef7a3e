"""Codebooks that move on from where they are, for codes that stay.

Given codes, the codebooks that fit them best are a least-squares problem (`refinement.solve`).
Items whose IDs are out keep them, so theirs are given; the others' are chosen anew in every round,
as `encode` does. What comes before the codebooks is frozen: the preprocessing, its mean, scale and
axes, and the networks of an rq_vae. A code that no item has stays where it is, as it may be part of
an ID that was issued.
"""

from __future__ import annotations

import copy
import time
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.compute.devices import full_precision
from semantic_ids.compute.streaming import load_rows
from semantic_ids.compute.threads import parts_alone
from semantic_ids.history import History
from semantic_ids.progress import Progress
from semantic_ids.quantization.kmeans import uses
from semantic_ids.quantization.refinement import encode, mean_error, solve
from semantic_ids.quantization.residual import ResidualQuantizer

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

    Fitted = TypeVar("Fitted", bound=ResidualTokenizer)

ROUNDS = 3
"""At most so many: the first one brings nearly all, as most codes are given."""


def move_codebooks(
    tokenizer: Fitted, vectors: np.ndarray, codes: np.ndarray, rows: np.ndarray | None = None
) -> Fitted:
    """Return a tokenizer with the codebooks that fit these items and their codes.

    As many items are read as for a fit: the first by item hash, held in memory.

    Args:
        tokenizer: A fitted one of any kind; unchanged.
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        codes: Shape (n, L), int32: the codes that stay; −1 for an item that has none yet.
        rows: Ascending row numbers of the items to fit; all if None.
    """
    began, options = time.perf_counter(), tokenizer.codebook_options
    rows = np.arange(len(vectors)) if rows is None else rows
    rows = rows[: max(tokenizer.codebook_sizes) * options.max_points_per_centroid]
    moved = copy.copy(tokenizer)
    moved.history, moved.fitted_rows = History(), len(rows)
    with torch.no_grad(), full_precision(tokenizer.device), parts_alone():
        z = load_rows(
            vectors,
            rows,
            lambda x: tokenizer._to_latent(tokenizer.preprocessing.apply(x)),
            tokenizer.device,
            tokenizer.quantizer.codebooks[0].shape[1],
        )
        given = torch.from_numpy(codes[rows].astype(np.int64)).to(tokenizer.device)
        with Progress("refresh", ROUNDS, "rounds") as progress:
            moved.quantizer = _moved(moved, z, given, progress)
    moved.report = {"rows": len(rows), "seconds": time.perf_counter() - began}
    return moved


def _moved(
    tokenizer: ResidualTokenizer, z: Tensor, given: Tensor, progress: Progress
) -> ResidualQuantizer:
    """Solve for the codebooks, round by round, and write the tokenizer's history.

    (n, d), (n, L) int64 with −1 for none → codebooks, with the prices there are.
    """
    options, quantizer = tokenizer.codebook_options, tokenizer.quantizer
    variance = float((z * z).sum(1).mean(dtype=torch.float64)) or 1.0
    open_rows = torch.nonzero(given[:, 0] < 0).flatten()
    codes, before = given.clone(), float("inf")
    for _ in range(ROUNDS):
        if len(open_rows):
            codes[open_rows] = encode(z[open_rows], quantizer, 1, tokenizer.beam_size)[0][:, 0]
        error = mean_error(z, codes, quantizer)
        tokenizer.history.add("refresh", {"relative_mse": error / variance})
        if error > (1 - options.refine_gain) * before:
            break
        before = error
        solved, _ = solve(z, codes, quantizer.codebooks, options.ridge)
        quantizer = ResidualQuantizer(
            [
                torch.where(uses(code, len(old))[:, None] > 0, new, old)
                for code, new, old in zip(codes.T, solved, quantizer.codebooks, strict=True)
            ],
            quantizer.prices,
        )
        progress.advance()
    return quantizer
