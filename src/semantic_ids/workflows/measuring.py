"""A tokenizer and its IDs → the metrics; and all in one, from vectors to metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.hashing import hashes_of
from semantic_ids.progress import reported_as
from semantic_ids.workflows.fitting import FitOptions, fit

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer
    from semantic_ids.identifiers import Deduplicated
    from semantic_ids.learning.checkpoints import Checkpoints


@dataclass(frozen=True)
class Measured:
    """A fitted tokenizer with everything that was made with it.

    Attributes:
        tokenizer: The tokenizer.
        codes: Shape (n, L), int32: what it encodes the vectors to.
        ids: The semantic IDs.
        metrics: The metrics of `metrics.json` by name.
        figures: What the figures are drawn from.
    """

    tokenizer: Tokenizer
    codes: np.ndarray
    ids: Deduplicated
    metrics: dict[str, Any]
    figures: dict[str, Any]


def fit_and_measure(
    vectors: np.ndarray,
    options: FitOptions,
    *,
    validation: np.ndarray | None = None,
    fit_on: str = "all",
    twin: bool = False,
    labels: Mapping[str, np.ndarray] | None = None,
    queries: int = 1000,
    checkpoints: Checkpoints | None = None,
) -> Measured:
    """Fit a tokenizer, give every item its ID, and measure both.

    Args:
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        options: What the tokenizer is to be, and how IDs are made unique.
        validation: Shape (n,), bool: the items held out; none if None.
        fit_on: `all`, or `train` for the items that are not held out.
        twin: Whether, where all items are fitted on, a second tokenizer that sees the others alone
            tells the error of the items held out.
        labels: Name → shape (n,), int, −1 for none.
        queries: Items whose neighbours are compared.
        checkpoints: Where rq_vae keeps its state while it trains.

    Raises:
        BadInput: See `tokenizers.fit_tokenizer` and `identifiers.deduplicate`.
    """
    from semantic_ids.identifiers import TokenizerCosts, deduplicate

    out = np.zeros(len(vectors), dtype=bool) if validation is None else validation
    held, others = np.flatnonzero(out), np.flatnonzero(~out)
    train_only = fit_on == "train"
    tokenizer = fit(
        vectors,
        options,
        rows=others if train_only else None,
        monitor_rows=held,
        checkpoints=checkpoints,
    )
    codes = tokenizer.encode(vectors)
    costs = TokenizerCosts(tokenizer, vectors)
    ids = deduplicate(codes, costs, strategy=options.strategy, candidates=options.candidates)
    metrics, figures = measure(
        vectors,
        tokenizer,
        codes,
        ids,
        held_out=out if train_only else None,
        labels=labels,
        queries=queries,
    )
    if twin and not train_only and len(held):
        metrics["reconstruction.relative_mse_validation"] = twin_error(
            vectors, options, others, held
        )
    return Measured(tokenizer, codes, ids, metrics, figures)


def measure(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    codes: np.ndarray,
    ids: Deduplicated,
    *,
    held_out: np.ndarray | None = None,
    labels: Mapping[str, np.ndarray] | None = None,
    queries: int = 1000,
    vector_hashes: np.ndarray | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure codes (n, L) and the IDs made of them: the metrics, and what figures are drawn from.

    For the arguments see `metrics.evaluate`; rows are in the order of the item hash, and
    `vector_hashes` (n,) are those of the vectors, computed here where the caller has none.
    """
    from semantic_ids.artifacts import Codes, Embeddings, Provenance
    from semantic_ids.metrics import evaluate

    nobody, made = np.arange(len(vectors)), Provenance("in memory")
    zero = 0  # no metric depends on how many vectors are zero
    hashes = hashes_of(vectors) if vector_hashes is None else vector_hashes
    embeddings = Embeddings(vectors, nobody, hashes, zero, made)
    levels = len(tokenizer.codebook_sizes)
    return evaluate(
        embeddings,
        tokenizer,
        Codes(nobody, codes, tuple(tokenizer.codebook_sizes), levels, made),
        Codes(nobody, ids.codes, ids.sizes, ids.levels, made),
        held_out=held_out,
        labels=labels,
        queries=queries,
    )


def twin_error(
    vectors: np.ndarray, options: FitOptions, rows: np.ndarray, held_out: np.ndarray
) -> float:
    """Fit a second tokenizer on some rows, and return its relative error on the rows held out."""
    from semantic_ids.metrics.reconstruction import relative_mse

    with reported_as("twin"):
        twin = fit(vectors, options, rows=rows, monitor_rows=held_out)
    return relative_mse(vectors, twin, held_out)
