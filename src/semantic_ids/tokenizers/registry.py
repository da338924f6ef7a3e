"""The kinds of tokenizer by name: to fit one, to load one. Torch is imported when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.contract import Assign
from semantic_ids.errors import BadInput, nearest
from semantic_ids.tokenizers.format import read_config

if TYPE_CHECKING:
    from semantic_ids.learning.checkpoints import Checkpoints
    from semantic_ids.tokenizers.base import ResidualTokenizer

KINDS = {"rq_kmeans": ("rq_kmeans", "RQKMeans"), "rq_vae": ("rq_vae.model", "RQVAE")}
"""Kind → module and class."""


def tokenizer_class(kind: str) -> type[ResidualTokenizer]:
    """Return the class of a kind."""
    if kind not in KINDS:
        raise BadInput(
            f"'{kind}' is no kind of tokenizer{nearest(kind, KINDS)}",
            where="tokenizer.kind",
            expected=" or ".join(KINDS),
        )
    module, name = KINDS[kind]
    return getattr(import_module(f"semantic_ids.tokenizers.{module}"), name)


def fit_tokenizer(
    vectors: np.ndarray,
    *,
    kind: str = "rq_kmeans",
    codebook_sizes: Sequence[int] = (256, 256, 256),
    seed: int = 42,
    device: str = "auto",
    preprocess: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    rows: np.ndarray | None = None,
    monitor_rows: np.ndarray | None = None,
    assign: Assign | None = None,
    checkpoints: Checkpoints | None = None,
) -> ResidualTokenizer:
    """Fit a tokenizer.

    Args:
        vectors: Shape (n, D), an array or a memory map; read in chunks.
        kind: `rq_kmeans` or `rq_vae`.
        codebook_sizes: Size of each level's codebook.
        seed: Seed of everything random.
        device: `auto`, `cpu` or `cuda`.
        preprocess: What happens to vectors first: see `options.PreprocessOptions`.
        options: What the kind takes: see `options.RQKMeansOptions` and
            `rq_vae.options.RQVAEOptions`.
        rows: Ascending row numbers to fit on; every row if None.
        monitor_rows: Rows that rq_vae watches to stop early; the rows fitted on if None or empty.
        assign: What makes codes unique in the end; where rq_kmeans is fitted on all rows, it then
            refines its codebooks for them.
        checkpoints: Where rq_vae keeps its state while it trains, to resume from if it is killed.

    Raises:
        BadInput: Fewer rows than codes, codes that do not fit a 63-bit key, a device that is not
            there, a zero vector to normalise, more dimensions to keep than there are.
    """
    tokenizer = tokenizer_class(kind)(
        codebook_sizes=codebook_sizes,
        seed=seed,
        device=device,
        preprocess=preprocess or {},
        options=options or {},
    )
    return tokenizer.fit(
        vectors, rows=rows, monitor_rows=monitor_rows, assign=assign, checkpoints=checkpoints
    )


def load_tokenizer(directory: str | Path, device: str = "cpu") -> ResidualTokenizer:
    """Load a tokenizer from the folder it was saved in.

    Args:
        directory: Folder that `save` wrote: see `tokenizers.format`.
        device: `cpu`, `cuda`, or `auto`: a GPU if there is one.

    Raises:
        BadInput: The folder or one of its files is missing, cannot be read, or is of another
            format.
    """
    config = read_config(directory)
    return tokenizer_class(config.get("kind", "")).load(directory, config, device)
