"""A tokenizer and its IDs → the metrics; and all in one, from vectors to metrics.

Whoever measures calls these: the stage `evaluate` with what the stages before it have made, Python
with what a user has made, benchmarks with the codes of any system, and trials from the vectors on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from semantic_ids.hashing import hashes_of
from semantic_ids.progress import reported_as
from semantic_ids.workflows.fitting import FitOptions, fit

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer
    from semantic_ids.learning.checkpoints import Checkpoints


class Ids(Protocol):
    """Semantic IDs, in memory or from a file."""

    @property
    def codes(self) -> np.ndarray:
        """Shape (n, W), int32."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """W sizes; `codes[:, l]` is in `[0, sizes[l])`."""

    @property
    def levels(self) -> int:
        """How many columns the tokenizer made."""


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
    ids: Ids
    metrics: dict[str, Any]
    figures: dict[str, Any]


def fit_and_measure(
    vectors: np.ndarray,
    options: FitOptions,
    *,
    validation: np.ndarray | None = None,
    fit_on: str = "all",
    checkpoints: Checkpoints | None = None,
    twin: bool = False,
    labels: Mapping[str, np.ndarray] | None = None,
    queries: int = 1000,
) -> Measured:
    """Fit a tokenizer, give every item its ID, and measure both: `fit`, then `measure`.

    Args:
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        options: What the tokenizer is to be, and how IDs are made unique.
        validation: Shape (n,), bool: the items held out; none if None.
        fit_on: `all`, or `train` for the items that are not held out.
        checkpoints: Where rq_vae keeps its state while it trains.
        twin: Whether, where all items are fitted on, a second tokenizer that sees the others alone
            tells the error of the items held out.
        labels: Name → shape (n,), int, −1 for none.
        queries: Items whose neighbours are compared.

    Raises:
        BadInput: See `tokenizers.fit_tokenizer` and `identifiers.deduplicate`.
    """
    tokenizer = fit(vectors, options, validation=validation, fit_on=fit_on, checkpoints=checkpoints)
    return measure(
        vectors,
        tokenizer,
        options,
        validation=validation,
        fit_on=fit_on,
        twin=twin,
        labels=labels,
        queries=queries,
    )


def measure(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    options: FitOptions,
    *,
    codes: np.ndarray | None = None,
    ids: Ids | None = None,
    validation: np.ndarray | None = None,
    fit_on: str = "all",
    twin: bool = False,
    labels: Mapping[str, np.ndarray] | None = None,
    queries: int = 1000,
    vector_hashes: np.ndarray | None = None,
) -> Measured:
    """Measure a fitted tokenizer and the IDs made with it; what is not given is made here.

    Args:
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        tokenizer: The tokenizer.
        options: How IDs are made unique, and what a twin is to be.
        codes: Shape (n, L), int32: what the tokenizer encodes the vectors to.
        ids: The IDs made of the codes.
        validation: Shape (n,), bool: the items held out; none if None.
        fit_on: What the tokenizer was fitted on: `all`, or `train` for those not held out.
        twin: Whether, where all items were fitted on, a second tokenizer that sees the others alone
            tells the error of the items held out.
        labels: Name → shape (n,), int, −1 for none.
        queries: Items whose neighbours are compared.
        vector_hashes: Shape (n,), uint64: `hashing.vector_hash` of the vectors.
    """
    from semantic_ids.metrics import evaluate

    hashes = hashes_of(vectors) if vector_hashes is None else vector_hashes
    codes = tokenizer.encode(vectors) if codes is None else codes
    ids = _made_unique(vectors, tokenizer, codes, options, hashes) if ids is None else ids
    metrics, figures = evaluate(
        *_as_artifacts(vectors, tokenizer, codes, ids, hashes),
        held_out=validation if fit_on == "train" else None,
        labels=labels,
        queries=queries,
    )
    if twin and fit_on == "all" and validation is not None and validation.any():
        metrics["reconstruction.relative_mse_validation"] = twin_error(vectors, options, validation)
    return Measured(tokenizer, codes, ids, metrics, figures)


def twin_error(vectors: np.ndarray, options: FitOptions, validation: np.ndarray) -> float:
    """Fit a second tokenizer on the items not held out; return its relative error on the others."""
    from semantic_ids.metrics.reconstruction import relative_mse

    with reported_as("twin"):
        twin = fit(vectors, options, validation=validation, fit_on="train")
    return relative_mse(vectors, twin, np.flatnonzero(validation))


def _made_unique(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    codes: np.ndarray,
    options: FitOptions,
    hashes: np.ndarray,
) -> Ids:
    from semantic_ids.identifiers import TokenizerCosts, deduplicate

    costs = TokenizerCosts(tokenizer, vectors, hashes)
    return deduplicate(codes, costs, strategy=options.strategy, candidates=options.candidates)


def _as_artifacts(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    codes: np.ndarray,
    ids: Ids,
    hashes: np.ndarray,
) -> Sequence[Any]:
    """Return what `metrics.evaluate` takes; it looks at no item ids."""
    from semantic_ids.artifacts import Codes, Embeddings, Provenance

    nobody, made = np.arange(len(vectors)), Provenance("in memory")
    zero = 0  # no metric depends on how many vectors are zero
    sizes = tuple(tokenizer.codebook_sizes)
    return (
        Embeddings(vectors, nobody, hashes, zero, made),
        tokenizer,
        Codes(nobody, codes, sizes, len(sizes), made),
        Codes(nobody, ids.codes, ids.sizes, ids.levels, made),
    )
