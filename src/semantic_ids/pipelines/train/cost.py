"""What the stages that come will take, told before anything is fitted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from semantic_ids.artifacts import Embeddings, Split
from semantic_ids.parameters import EvaluateParameters, IdentifyParameters, TokenizerParameters

if TYPE_CHECKING:
    from semantic_ids.forecast import Job

logger = logging.getLogger(__name__)


def tell_cost(
    embeddings: Embeddings,
    split: Split,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    forecast: Mapping[str, Any],
) -> dict[str, Any]:
    """Say, and return as JSON-like values, how long the stages that come will take, and how much
    memory.

    Args:
        embeddings: The items.
        split: Says how many are held out.
        tokenizer: Its kind, sizes and options.
        identify: How IDs are made unique.
        evaluate: Queries, and whether a twin is fitted.
        forecast: Expected `collision_rate` and `spilled_rate`.
    """
    from semantic_ids.compute.devices import resolve
    from semantic_ids.forecast import Speed, estimate, memory
    from semantic_ids.forecast.probe import speeds

    on_gpu = resolve(tokenizer.device).type != "cpu"
    job = job_of(embeddings, split, tokenizer, identify, evaluate, forecast, on_gpu=on_gpu)
    beam, anneals = job.options["beam_size"], job.kind == "rq_kmeans" or job.start is not None
    speed = Speed(
        **speeds(job.width, job.codebook_sizes, beam=beam, anneals=anneals, device=tokenizer.device)
    )
    found = estimate(job, speed, memory.resident())
    short = found.shortage(memory.room())
    logger.log(
        logging.WARNING if short else logging.INFO,
        "%s%s",
        found.in_words(),
        f". {short}" if short else "",
    )
    return found.to_json()


def job_of(
    embeddings: Embeddings,
    split: Split,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    forecast: Mapping[str, Any],
    *,
    on_gpu: bool,
) -> Job:
    """Return the `advice.Job` of a run; for the arguments see `tell_cost`."""
    from semantic_ids.forecast import Job
    from semantic_ids.tokenizers.options import PreprocessOptions

    held_out, axes = len(split.validation_rows), tokenizer.preprocess.dimensions
    fit_items = len(embeddings) - (held_out if tokenizer.fit_on == "train" else 0)
    return Job(
        items=len(embeddings),
        dim=embeddings.dim,
        fit_items=fit_items,
        watched_items=held_out or fit_items,
        codebook_sizes=tokenizer.codebook_sizes,
        kind=tokenizer.kind,
        options=tokenizer.options,
        width=min(axes or embeddings.dim, embeddings.dim),
        rotates=PreprocessOptions(**tokenizer.preprocess.model_dump()).rotates(embeddings.dim),
        strategy=identify.strategy,
        candidates=identify.candidates,
        queries=evaluate.queries,
        twin_items=(
            len(embeddings) - held_out
            if evaluate.twin and tokenizer.fit_on == "all" and held_out
            else 0
        ),
        collision_rate=forecast["collision_rate"],
        spilled_rate=forecast["spilled_rate"],
        on_gpu=on_gpu,
    )
