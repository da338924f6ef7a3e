"""Tokenizers of which only the shape is right: codebooks are drawn from the data, networks have had
a few steps. What they take is what fitted ones take.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semantic_ids.compute.streaming import load_rows
from semantic_ids.contract import Assign
from semantic_ids.forecast.pilot import ITERATIONS, main_axes
from semantic_ids.forecast.run import Run
from semantic_ids.quantization import refinement
from semantic_ids.quantization.kmeans import kmeans, residual_kmeans
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.rq_vae.codebooks import Start
from semantic_ids.tokenizers.rq_vae.model import RQVAE

ANNEALED_ROUNDS = 6
"""Rounds of annealing of the codebooks for which de-duplication is timed: without any, one code
takes far too many items."""
STEPS, EPOCHS = 2, 2
"""Steps of an epoch that an rq_vae is trained for, and epochs: only the last is timed, the first
loads what it needs."""
QUICK: dict[str, dict[str, Any]] = {
    "codebook": {"init": "kmeans"},
    "optimizer": {"compile": False},
    "schedule": {"epochs": EPOCHS, "plain_epochs": 0, "warmup_epochs": 0},
    "selection": {"patience": None, "burn_in": 0, "catalogue_every": 1, "collapse_below": 0.0},
    "unique": {"epochs": 0},
}
"""Options of an rq_vae that is trained for a few steps."""


def drawn_codebooks(z: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Take vectors as codebooks, and of what they leave over the next: (n, d) → L × (K_l, d)."""
    generator = torch.Generator().manual_seed(0)

    def draw(rest: Tensor, size: int) -> Tensor:
        return rest[torch.randperm(len(rest), generator=generator)[:size].to(rest.device)].clone()

    return residual_kmeans(z, sizes, draw)


class DrawnRQKMeans(RQKMeans):
    """Residual k-means without any k-means."""

    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        z = load_rows(vectors, rows, self.preprocessing.apply, self.device, self.width)
        return ResidualQuantizer(drawn_codebooks(z, self.codebook_sizes))


class DrawnRQVAE(RQVAE):
    """An autoencoder that starts with codebooks that are drawn."""

    def _start(self) -> Start:
        most = max(self.codebook_sizes)
        return Start(most, lambda z: drawn_codebooks(z, self.codebook_sizes))


def drawn(vectors: np.ndarray, run: Run, sizes: Sequence[int], rows: int) -> RQKMeans | RQVAE:
    """Make a tokenizer on the first rows; an rq_vae is trained for `EPOCHS` epochs.

    Raises:
        BadInput: The run itself would be refused.
    """
    if run.kind != "rq_vae":
        options = {**run.options, "balance": None}
        made = DrawnRQKMeans(sizes, run.seed, run.device, run.preprocess, options)
        return made.fit(vectors[:rows])
    watched = max(1, round(rows * min(1.0, run.watched_items / max(1, run.fit_items))))
    network = DrawnRQVAE(sizes, run.seed, run.device, run.preprocess, _quick(run, rows))
    return network.fit(vectors[:rows], monitor_rows=np.arange(watched))


def _quick(run: Run, rows: int) -> dict[str, Any]:
    """Return the options of an rq_vae that looks at its share of the catalogue."""
    given, selection = run.options, run.options["selection"]
    looked_at = min(run.items, selection["catalogue_rows"]) / selection["catalogue_every"]
    quick = {group: {**given[group], **QUICK.get(group, {})} for group in given}
    share = rows / max(1, run.fit_items)
    quick["selection"]["catalogue_rows"] = max(1, round(share * looked_at))
    return {group: values for group, values in quick.items() if group != "start"}


@torch.no_grad()
def as_crowded(tokenizer: Any, latents: Tensor, run: Run, last_size: int) -> Any:
    """Return a tokenizer whose prefixes have as many of these rows as those of the run will have of
    all items.

    What de-duplication takes depends on it.

    Args:
        tokenizer: What it is otherwise.
        latents: Shape (r, d): what is quantised of the rows.
        run: What is about to run.
        last_size: Size of the last codebook.
    """
    rows, levels = len(latents), len(run.codebook_sizes)
    share = (run.codebook_sizes[-1] / last_size) * (rows / run.items)
    fewer = share ** (1 / max(1, levels - 1))
    sizes = [max(2, min(rows, ceil(size * fewer))) for size in run.codebook_sizes[:-1]]
    sizes.append(last_size)
    generator = torch.Generator().manual_seed(0)
    axes = main_axes(latents, generator)
    z = latents @ axes
    codebooks = residual_kmeans(
        z, sizes, lambda rest, size: kmeans(rest, size, generator, ITERATIONS)
    )
    for done in refinement.anneal(
        z,
        codebooks,
        beam=1,
        rounds=ANNEALED_ROUNDS,
        rows=rows,
        temperature=0.1,
        ridge=1.0,
        generator=generator,
    ):
        codebooks = done.codebooks
    crowded = copy.copy(tokenizer)
    crowded.codebook_sizes = tuple(sizes)
    crowded.quantizer = ResidualQuantizer([c @ axes.T for c in codebooks])
    return crowded
