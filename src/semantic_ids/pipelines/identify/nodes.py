"""Nodes of the stage `identify`: encode and de-duplicate."""

from __future__ import annotations

import logging

from semantic_ids import identifiers
from semantic_ids.artifacts import (
    Codes,
    Embeddings,
    Provenance,
    require_made_from,
    require_made_with,
)
from semantic_ids.contract import Tokenizer
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.metrics.duplicates import Duplicates, equal_vectors
from semantic_ids.parameters import IdentifyParameters, TokenizerParameters
from semantic_ids.progress import Progress

logger = logging.getLogger(__name__)


def encode(
    embeddings: Embeddings, tokenizer: Tokenizer, tokenizer_parameters: TokenizerParameters
) -> Codes:
    """Give every item the codes of its vector, chunk by chunk."""
    made = _accepted(tokenizer, embeddings, tokenizer_parameters)
    sizes = tuple(tokenizer.codebook_sizes)
    tokenizer = tokenizer.to(tokenizer_parameters.device)
    with Progress("encode", total=len(embeddings)) as progress:
        codes = tokenizer.encode(embeddings.vectors, progress)
    provenance = Provenance(
        "codes",
        {"embeddings": embeddings.provenance.fingerprint, "tokenizer": made.fingerprint},
        content=fingerprint(codes),
    )
    return Codes(embeddings.item_ids, codes, sizes, len(sizes), provenance)


def deduplicate(
    embeddings: Embeddings,
    tokenizer: Tokenizer,
    codes: Codes,
    tokenizer_parameters: TokenizerParameters,
    identify: IdentifyParameters,
) -> Codes:
    """Turn the codes into semantic IDs, and say what it cost."""
    made = _accepted(tokenizer, embeddings, tokenizer_parameters)
    require_made_from(codes.provenance, embeddings=embeddings.provenance, tokenizer=made)
    if identify.strategy != "none":
        report_duplicates(
            embeddings, room=codes.sizes[-1] if identify.strategy == "reassign" else None
        )
    tokenizer = tokenizer.to(tokenizer_parameters.device)
    result = identifiers.deduplicate(
        codes.codes,
        identifiers.TokenizerCosts(tokenizer, embeddings.vectors, embeddings.vector_hashes),
        strategy=identify.strategy,
        candidates=identify.candidates,
    )
    logger.info(_cost(identify.strategy, result))
    inputs = {
        "embeddings": embeddings.provenance.fingerprint,
        "tokenizer": made.fingerprint,
        "codes": codes.provenance.fingerprint,
    }
    provenance = Provenance(
        "semantic_ids", inputs, identify.model_dump(), content=fingerprint(result.codes)
    )
    return Codes(codes.item_ids, result.codes, result.sizes, result.levels, provenance)


def report_duplicates(embeddings: Embeddings, room: int | None) -> None:
    """Say how many items have the very same vector.

    Warn of more of them than a prefix has room for (None if there is always room).
    """
    same = equal_vectors(embeddings.vectors, embeddings.vector_hashes)
    logger.info("duplicates: %s", Duplicates.of(same).in_words())
    if embeddings.equal_by_cast:
        logger.warning(
            "duplicates: %s of the vectors that were given differ, and became equal when they were"
            " stored as %s: see the log of ingest",
            f"{embeddings.equal_by_cast:,}",
            embeddings.vectors.dtype,
        )
    crowds = same.sizes[same.sizes > room] if room else same.sizes[:0]
    if len(crowds):
        logger.warning(
            "duplicates: the largest group has more items than the last codebook has codes (%s), so"
            " at least %s items with a vector that others have will leave their prefix; a larger"
            " last codebook or identify.strategy=suffix would keep them together",
            f"{room:,}",
            f"{(crowds - room).sum():,}",
        )


def _accepted(
    tokenizer: Tokenizer, embeddings: Embeddings, parameters: TokenizerParameters
) -> Provenance:
    """Return what the tokenizer was made from, refusing one of another run.

    One that was fitted and saved in Python says nothing of inputs and parameters, and is taken as
    it is; one that says nothing at all was made from nothing at hand.
    """
    made = tokenizer.provenance or Provenance("tokenizer")
    if made.of_python:
        logger.info(
            "the tokenizer (%s, %s) was saved in Python: it is taken as it is, and the parameters"
            " tokenizer.* other than the device are ignored",
            tokenizer.kind,
            "x".join(map(str, tokenizer.codebook_sizes)),
        )
        _require_width(tokenizer, embeddings)
        return made
    require_made_from(made, embeddings=embeddings.provenance)
    require_made_with(made, "tokenizer", parameters.in_use())
    return made


def _require_width(tokenizer: Tokenizer, embeddings: Embeddings) -> None:
    """Refuse a tokenizer of vectors of another width."""
    if tokenizer.dim != embeddings.dim:
        raise BadInput(
            f"the tokenizer takes vectors of {tokenizer.dim:,} dimensions, the embeddings have"
            f" {embeddings.dim:,}",
            where="artifacts 'tokenizer' and 'embeddings'",
            expected="the same number of dimensions",
            do="fit a tokenizer on these embeddings, or give those that it was fitted on",
        )


def _cost(strategy: str, result: identifiers.Deduplicated) -> str:
    """Say in one line what the de-duplication cost."""
    shares = {
        "moved": result.moved_rate,
        "to another prefix": result.spilled_rate,
        "with a suffix": result.suffixed_rate,
    }
    said = ", ".join(f"{100 * share:.2f} % {what}" for what, share in shares.items())
    return (
        f"de-duplication ({strategy}): {len(result.codes):,} items, {said};"
        f" {100 * result.added_distortion:.2f} % more latent distortion"
    )
