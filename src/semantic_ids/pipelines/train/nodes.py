"""Nodes of the stage `train`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import CheckpointPlace, Embeddings, Provenance, Split, require_made_from
from semantic_ids.codes import capacity, check_sizes
from semantic_ids.contract import Tokenizer
from semantic_ids.errors import BadInput
from semantic_ids.parameters import (
    AdviceParameters,
    EvaluateParameters,
    IdentifyParameters,
    TokenizerParameters,
    flatten,
)
from semantic_ids.pipelines.fitting import fit_options
from semantic_ids.pipelines.train.cost import report_cost, run_of
from semantic_ids.workflows.fitting import FitOptions, fit

if TYPE_CHECKING:
    from semantic_ids.learning.checkpoints import Checkpoints

logger = logging.getLogger(__name__)


def train(
    embeddings: Embeddings,
    split: Split,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    advice: AdviceParameters,
    checkpoints: CheckpointPlace,
) -> tuple[Tokenizer, Any, dict[str, Any]]:
    """Fit the tokenizer; return it, its history (a pyarrow table) and its results."""
    wanted = fit_options(tokenizer, identify)
    check_sizes(len(embeddings), wanted.codebook_sizes, unique=wanted.strategy == "reassign")
    require_made_from(split.provenance, embeddings=embeddings.provenance)
    _require_directions(embeddings, tokenizer)
    inputs = {
        "embeddings": embeddings.provenance.fingerprint,
        "split": split.provenance.fingerprint,
    }
    kept = checkpoints_of(tokenizer, checkpoints, inputs | _unique_for(tokenizer, identify))
    forecast = report_forecast(embeddings, wanted, advice) if advice.pilot_items else None
    cost = report_cost(embeddings, run_of(wanted, split, tokenizer.fit_on, evaluate))
    fitted = fit(
        embeddings.vectors,
        wanted,
        validation=split.validation,
        fit_on=tokenizer.fit_on,
        checkpoints=kept,
    )
    inputs |= _refined_for(fitted, identify)
    fitted.provenance = Provenance("tokenizer", inputs, tokenizer.in_use(), fitted.content)
    results = {
        **training_results(fitted, embeddings, tokenizer),
        "forecast": forecast,
        "estimate": cost,
    }
    logger.info(
        "%s fitted on %s items in %.1f s",
        fitted.kind,
        f"{fitted.report['rows']:,}",
        fitted.report["seconds"],
    )
    return fitted, history_of(fitted), results


def history_of(fitted: Tokenizer) -> Any:
    """Return the history of a fit as a pyarrow table that knows its tokenizer."""
    import pyarrow as pa

    return with_made(pa.Table.from_pylist(fitted.history.rows()), fitted.provenance)


def with_made(history: Any, provenance: Provenance) -> Any:
    """Note which tokenizer a history, a pyarrow table, is of."""
    from semantic_ids.export.ids_table import with_provenance

    return history.cast(with_provenance(history.schema, provenance))


def _unique_for(tokenizer: TokenizerParameters, identify: IdentifyParameters) -> dict[str, str]:
    """Note which unique IDs a training in epochs ends with, where it does."""
    unique = (
        tokenizer.kind == "rq_vae"
        and tokenizer.rq_vae.unique.epochs
        and identify.strategy == "reassign"
    )
    return _unique_ids(identify) if unique else {}


def _refined_for(fitted: Tokenizer, identify: IdentifyParameters) -> dict[str, str]:
    """Note which unique IDs the codebooks were refined for, if they were.

    Such a tokenizer serves any strategy.
    """
    return _unique_ids(identify) if "unique" in fitted.history.phases() else {}


def _unique_ids(identify: IdentifyParameters) -> dict[str, str]:
    return {"unique IDs": f"{identify.strategy}, {identify.candidates} candidates"}


def report_forecast(
    embeddings: Embeddings, wanted: FitOptions, advice: AdviceParameters
) -> dict[str, Any]:
    """Log, and return as JSON-like values, how full the ID space will be, who will share codes, and
    which sizes would do.
    """
    from semantic_ids.forecast import forecast
    from semantic_ids.forecast.pilot import pilot_codes

    codes, pilot_sizes = pilot_codes(
        embeddings.vectors,
        wanted.codebook_sizes,
        items=advice.pilot_items,
        seed=wanted.seed,
        preprocess=wanted.preprocess,
        device=wanted.device,
    )
    found = forecast(codes, pilot_sizes, wanted.codebook_sizes, len(embeddings))
    unique = wanted.strategy == "reassign"
    logger.log(
        logging.WARNING if found.is_tight(unique=unique) else logging.INFO,
        found.in_words(unique=unique),
    )
    return found.to_json()


def checkpoints_of(
    parameters: TokenizerParameters, place: CheckpointPlace, inputs: Mapping[str, str]
) -> Checkpoints | None:
    """Return where a training keeps its state; None for one that keeps none.

    The device is of no account.

    Raises:
        BadInput: There is no checkpoint where one was named, or it is of another training.
    """
    if parameters.kind != "rq_vae" or not parameters.checkpoints.every:
        return None
    from semantic_ids.learning.checkpoints import Checkpoints

    given = parameters.checkpoints
    used = {name: value for name, value in flatten(parameters.in_use()) if name != "device"}
    named = given.resume not in ("auto", "never")
    resume = str(place.root / Path(given.resume).expanduser()) if named else given.resume
    kept = Checkpoints(
        place.folder,
        {**inputs, **used},
        every=given.every,
        keep=given.keep,
        trainings=given.trainings,
        resume=resume,
    )
    if named:
        kept.check()
    return kept


def _require_directions(embeddings: Embeddings, parameters: TokenizerParameters) -> None:
    """Raise `BadInput` where there are zero vectors that are to be normalised."""
    if parameters.preprocess.normalize and embeddings.zero_rows:
        raise BadInput(
            f"{embeddings.zero_rows:,} zero vectors cannot be brought to unit length",
            where="tokenizer.preprocess.normalize",
            expected="vectors with a direction",
            do=(
                "run the pipeline 'ingest' again with the same parameters and"
                " ingest.on_invalid=drop"
            ),
        )


def training_results(
    fitted: Tokenizer, embeddings: Embeddings, parameters: TokenizerParameters
) -> dict[str, Any]:
    """Return statistics, sizes and times of the training, as JSON-like values."""
    last = dict(fitted.history[-1])
    return {
        "kind": fitted.kind,
        "codebook_sizes": list(fitted.codebook_sizes),
        "capacity": capacity(fitted.codebook_sizes),
        "bits": float(np.log2(np.array(fitted.codebook_sizes)).sum()),
        "items": len(embeddings),
        "dimensions": embeddings.dim,
        "fit_on": parameters.fit_on,
        "training": {
            **fitted.report,
            "items_per_second": fitted.report["rows"] / max(fitted.report["seconds"], 1e-9),
        },
        "last_step": last,
        "versions": _versions(),
        "provenance": fitted.provenance.to_json() if fitted.provenance else None,
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("semantic-ids", "torch", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
