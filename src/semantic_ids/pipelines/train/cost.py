"""An estimate of seconds and memory of the stages to come, before anything is fitted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from semantic_ids.arrays import trim_memory
from semantic_ids.artifacts import Embeddings, Split
from semantic_ids.errors import BadInput
from semantic_ids.parameters import EvaluateParameters
from semantic_ids.workflows.fitting import FitOptions

if TYPE_CHECKING:
    from semantic_ids.forecast import Run

logger = logging.getLogger(__name__)

LEAST_ITEMS, LEAST_PASSED = 20_000, 200_000
"""Of fewer items nothing is estimated, unless all epochs of an rq_vae pass so many: to try pieces
of the work would take a good part of the time of the work."""


def report_cost(embeddings: Embeddings, run: Run) -> dict[str, Any] | None:
    """Log, and return as JSON-like values, how long the stages to come will take, and how much
    memory; None for a short run, and where pieces of the work could not be done on trial.
    """
    from semantic_ids.forecast import estimate_cost, memory

    if run.items < LEAST_ITEMS and run.items * run.passes < LEAST_PASSED:
        logger.debug(
            "no estimate of time and memory: %s items are few, and the run is short",
            f"{run.items:,}",
        )
        return None
    try:
        found = estimate_cost(embeddings.vectors, run)
    except BadInput as error:
        logger.info("no estimate of time and memory: %s", error)
        return None
    finally:
        trim_memory()
    short = found.shortage(memory.room())
    logger.log(
        logging.WARNING if short else logging.INFO,
        "%s%s",
        found.in_words(),
        f". {short}" if short else "",
    )
    return found.to_json()


def run_of(wanted: FitOptions, split: Split, fit_on: str, evaluate: EvaluateParameters) -> Run:
    """Return what is about to run."""
    from semantic_ids.forecast import Run

    items, held_out = len(split.validation), len(split.validation_rows)
    fit_items = items - (held_out if fit_on == "train" else 0)
    twin = evaluate.twin and fit_on == "all" and held_out > 0
    return Run(
        **vars(wanted),
        items=items,
        fit_items=fit_items,
        watched_items=held_out or fit_items,
        twin_items=items - held_out if twin else 0,
        queries=evaluate.queries,
    )
