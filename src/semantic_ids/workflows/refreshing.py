"""A tokenizer that is refreshed between two generations, and what that has changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Embeddings, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.identifiers import Strategy, TokenizerCosts, deduplicate
from semantic_ids.publishing import refit
from semantic_ids.publishing.append import compare
from semantic_ids.publishing.churn import churn, error_ratio
from semantic_ids.publishing.headroom import headroom
from semantic_ids.publishing.refresh import aligned, errors, warm
from semantic_ids.publishing.state import Catalogue, rows_in

if TYPE_CHECKING:
    from semantic_ids.publishing.options import PublishOptions
    from semantic_ids.tokenizers.base import ResidualTokenizer
    from semantic_ids.workflows.publishing import Draft, Generation

logger = logging.getLogger(__name__)

PARENT = "generation"
"""What the provenance of a refreshed tokenizer calls the generation it was refreshed from."""


def warm_tokenizer(
    before: Generation, embeddings: Embeddings, held_out: np.ndarray, device: str
) -> ResidualTokenizer:
    """Return the tokenizer of a generation with codebooks that have moved to fit today's items.

    Published items count with the IDs they have, unless their vector is another than then.

    Args:
        before: The generation to go on from.
        embeddings: Today's catalogue.
        held_out: Shape (n,), bool: items that are not fitted on, where `fit_on` is `train`.
        device: `auto`, `cpu` or `cuda`.
    """
    tokenizer, state = before.tokenizer(device), before.state
    found = compare(state, Catalogue.of(embeddings.item_ids, embeddings.vector_hashes))
    known = found.known_ids(state)[:, : state.live.levels]
    known[found.changed] = -1
    made = tokenizer.provenance or Provenance("tokenizer")
    holds_out = made.parameters.get("fit_on") == "train"
    rows = np.flatnonzero(~held_out) if holds_out else None
    moved = warm(tokenizer, embeddings.vectors, known, rows)
    moved.provenance = _provenance(before, embeddings, made.parameters, moved.content)
    logger.info(
        "codebooks of %s have moved to fit %s items", before.manifest.name, moved.report["rows"]
    )
    return moved


def require_refit(before: Generation, embeddings: Embeddings, options: PublishOptions) -> None:
    """Raise `BadInput` where a refit could not be published: see `publishing.refit`."""
    today = Catalogue.of(embeddings.item_ids, embeddings.vector_hashes)
    refit.require_refit(before.state, today, options)


def aligned_tokenizer(
    before: Generation, fitted: ResidualTokenizer, embeddings: Embeddings
) -> ResidualTokenizer:
    """Return a tokenizer that was fitted anew with its codes named after a generation's.

    Args:
        before: The generation to go on from.
        fitted: The new tokenizer; unchanged.
        embeddings: Today's catalogue: its items tell which codes are much the same.
    """
    old = before.tokenizer(fitted.device.type)
    found = aligned(old, fitted, embeddings.vectors)
    made = fitted.provenance or Provenance("tokenizer")
    found.provenance = _provenance(before, embeddings, made.parameters, found.content)
    return found


def _provenance(
    before: Generation, embeddings: Embeddings, parameters: Any, content: str
) -> Provenance:
    inputs = {"embeddings": embeddings.provenance.fingerprint, PARENT: before.manifest.name}
    return Provenance("tokenizer", inputs, parameters, content)


def require_parent(before: Generation, tokenizer: ResidualTokenizer) -> None:
    """Raise `BadInput` where a tokenizer was refreshed from another generation."""
    made = tokenizer.provenance or Provenance("tokenizer")
    if made.inputs.get(PARENT) != before.manifest.name:
        raise BadInput(
            f"{before.manifest.name} was published while this run refreshed the tokenizer of"
            f" {made.inputs.get(PARENT)}",
            where="published IDs",
            expected="one writer at a time",
            do="run it again: it goes on from the newest generation, and nothing is lost",
        )


def churn_of(
    draft: Draft,
    tokenizer: ResidualTokenizer,
    embeddings: Embeddings,
    codes: np.ndarray,
    *,
    strategy: Strategy,
    candidates: int,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Say how much of the published IDs is other than before, and how much room is left.

    Args:
        draft: The next generation.
        tokenizer: Its tokenizer.
        embeddings: Today's catalogue.
        codes: Shape (n, L), int32: what the tokenizer encodes it to.
        strategy: How IDs are made unique.
        candidates: How many other prefixes an item of a full prefix is offered at a time.
        weights: Shape (n,): what each item of today counts; None for no weights.
    """
    live = draft.state.live
    found: dict[str, Any] = {"churn.items.kept": 0, "churn.items.new": len(live)}
    if draft.before is not None and draft.made is not None:
        found = _between(draft, embeddings, strategy, weights)
        if draft.before.fingerprints["tokenizer"] == tokenizer.content:
            ratios = {"churn.distortion_ratio": 1.0}  # the same codes of the same codebooks
            if weights is not None:
                ratios["churn.weighted.distortion_ratio"] = 1.0
        else:
            costs = TokenizerCosts(tokenizer, embeddings.vectors, embeddings.vector_hashes)
            before = draft.before.tokenizer(tokenizer.device.type)
            free = deduplicate(codes, costs, strategy=strategy, candidates=candidates).codes
            ratios = _ratios(draft, before, tokenizer, embeddings.vectors, free, weights)
        found |= ratios | {"append.spilled": draft.made.spilled}
    if strategy == "reassign" and len(live):
        found |= headroom(draft.state.issued, live.sizes)
    for line in in_words(found):
        logger.info(line)
    return found


def _between(
    draft: Draft, embeddings: Embeddings, strategy: Strategy, weights: np.ndarray | None
) -> dict[str, Any]:
    """Compare the IDs of two generations."""
    old, new = draft.before.state, draft.state  # type: ignore[union-attr]
    comparison = draft.made.comparison  # type: ignore[union-attr]
    rows = rows_in(new.live.item_ids, old.live.item_ids)
    there = np.flatnonzero(rows >= 0)
    if weights is not None:
        of_today = rows_in(new.live.item_ids, embeddings.item_ids)
        weights = np.where(of_today >= 0, weights[of_today], 0.0)
    parts = [
        part for state in (old, new) for part in (state.retired, state.reserved) if part is not None
    ]
    found = churn(
        old.live,
        new.live,
        (rows[there], there),
        revived=len(comparison.revived[0]),
        changed=len(comparison.changed),
        issued=parts,
        weights=weights,
    )
    if strategy == "none":  # items may share an ID
        del found["churn.reused"]
    return found


def _ratios(
    draft: Draft,
    before: ResidualTokenizer,
    tokenizer: ResidualTokenizer,
    vectors: np.ndarray,
    free: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, float]:
    """Compare errors under two tokenizers, and with IDs that are made as if none were out.

    Args:
        draft: The next generation.
        before: The tokenizer of the generation before.
        tokenizer: The new one.
        vectors: Shape (n, D): today's catalogue.
        free: Shape (n, W): the IDs that its items would get if none were out.
        weights: Shape (n,): what each item counts; None for no weights.
    """
    levels, every = len(tokenizer.codebook_sizes), np.arange(len(vectors))
    rows, live = draft.made.comparison.kept  # type: ignore[union-attr]
    old = draft.before.state.live.codes[live, :levels]  # type: ignore[union-attr]
    ids = draft.ids[:, :levels]
    unbound = errors(tokenizer, vectors, every, free[:, :levels])
    found = errors(tokenizer, vectors, every, ids)
    ratios = {}
    if len(rows):
        pair = errors(before, vectors, rows, old), found[rows]
        ratios["churn.distortion_ratio"] = error_ratio(pair, None)
        if weights is not None and weights[rows].any():
            ratios["churn.weighted.distortion_ratio"] = error_ratio(pair, weights[rows])
        if (ids[rows] == old).all():
            would_move = (free[rows] != draft.ids[rows]).any(axis=1)
            return ratios | {
                "refresh.frozen_error_ratio": ratios["churn.distortion_ratio"],
                "refresh.identified_error_ratio": error_ratio((pair[0], unbound[rows]), None),
                "refresh.would_move_rate": float(would_move.mean()),
            }
    return ratios | {"refresh.reserved_error_ratio": error_ratio((unbound, found), None)}


def in_words(found: dict[str, Any]) -> list[str]:
    """Say what was found, a line a matter."""
    lines = []
    if "churn.distortion_ratio" in found:
        lines.append(
            f"{found['churn.items.kept']:,} items are kept, {found['churn.moved_rate']:.2%} of them"
            f" with another ID; their error is {found['churn.distortion_ratio']:.4f} times what it"
            " was"
        )
    if "refresh.identified_error_ratio" in found:
        lines.append(
            f"{found['refresh.would_move_rate']:.2%} of the published items would get another ID"
            " if they were identified again, and the error would be"
            f" {found['refresh.identified_error_ratio']:.4f} times what it was"
        )
    if "refresh.reserved_error_ratio" in found:
        lines.append(
            "that no ID goes to another item makes the error"
            f" {found['refresh.reserved_error_ratio']:.4f} times what it would be"
        )
    if "append.free_rate" in found:
        lines.append(
            f"{found['append.free_rate']:.2%} of the IDs are free,"
            f" {found['append.full_prefixes']:,} prefixes are full; about"
            f" {found['append.items_until_spill']:,} more items may come before 1 % of them leave"
            " their prefix"
        )
    return lines
