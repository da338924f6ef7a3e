"""Nodes of stage `evaluate`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from semantic_ids.artifacts import (
    Codes,
    Embeddings,
    Provenance,
    Split,
    require_made_from,
    require_made_with,
)
from semantic_ids.contract import Tokenizer
from semantic_ids.errors import BadInput
from semantic_ids.history import History
from semantic_ids.parameters import EvaluateParameters, IdentifyParameters, TokenizerParameters
from semantic_ids.pipelines.fitting import fit_options
from semantic_ids.pipelines.labels import labels_of
from semantic_ids.workflows.measuring import measure


def evaluate(  # noqa: PLR0917 - Kedro passes the inputs by position
    embeddings: Embeddings,
    split: Split,
    tokenizer: Tokenizer,
    codes: Codes,
    semantic_ids: Codes,
    items: pa.Table | None,
    tokenizer_parameters: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
    id_column: str,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure codes and IDs of the whole catalogue.

    The metrics by name, and what the figures are drawn from.
    """
    made_of = _require_one_run(embeddings, split, tokenizer, codes, semantic_ids)
    require_made_with(made_of, "tokenizer", tokenizer_parameters.in_use())
    require_made_with(semantic_ids.provenance, "identify", identify.model_dump())
    options = fit_options(tokenizer_parameters, identify)
    found = measure(
        embeddings.vectors,
        tokenizer.to(options.device),
        options,
        codes=codes.codes,
        ids=semantic_ids,
        validation=split.validation,
        fit_on=made_of.parameters.get("fit_on", "all"),
        twin=evaluate.twin,
        labels=labels_of(embeddings.item_ids, items, id_column, evaluate),
        queries=evaluate.queries,
        vector_hashes=embeddings.vector_hashes,
    )
    made = {
        f"provenance.{p.artifact}": p.fingerprint
        for p in (embeddings.provenance, made_of, semantic_ids.provenance)
    }
    return found.metrics | made, found.figures | made


def _require_one_run(
    embeddings: Embeddings, split: Split, tokenizer: Tokenizer, codes: Codes, semantic_ids: Codes
) -> Provenance:
    """Refuse artifacts of different runs; return the provenance of the tokenizer."""
    made_of = tokenizer.provenance or Provenance("tokenizer")
    require_made_from(made_of, embeddings=embeddings.provenance, split=split.provenance)
    require_made_from(codes.provenance, embeddings=embeddings.provenance, tokenizer=made_of)
    require_made_from(
        semantic_ids.provenance,
        embeddings=embeddings.provenance,
        tokenizer=made_of,
        codes=codes.provenance,
    )
    return made_of


def _require_one_evaluation(
    metrics: dict[str, Any], evaluation: dict[str, Any], training_history: pa.Table
) -> None:
    """Refuse numbers of different runs."""
    from semantic_ids.export.ids_table import made_from

    history = made_from(training_history)
    for name, found in {
        "evaluation": {k: v for k, v in evaluation.items() if k.startswith("provenance.")},
        "training_history": {"provenance.tokenizer": history.fingerprint} if history else {},
    }.items():
        other = [key for key in found if found[key] != metrics.get(key)]
        if other:
            raise BadInput(
                f"{other[0]} is {metrics.get(other[0])} in 'metrics' and {found[other[0]]} in"
                f" '{name}'",
                where=f"artifacts of two runs are mixed: 'metrics' and '{name}'",
                expected="artifacts that belong together",
                remake="metrics",
            )


def draw(
    metrics: dict[str, Any], evaluation: dict[str, Any], training_history: pa.Table
) -> tuple[Any, ...]:
    """Draw the five figures, in the order of `pipeline.FIGURES`."""
    from semantic_ids.reporting import figures

    _require_one_evaluation(metrics, evaluation, training_history)

    return (
        figures.training_curves(History(training_history.to_pylist())),
        figures.codebook_usage(evaluation["code_counts"]),
        figures.collision_groups(evaluation["collision_groups"]),
        figures.reconstruction_cosine(
            evaluation["cosine_counts"], metrics["reconstruction.cosine"]
        ),
        figures.prefix_cohesion(evaluation["cohesion"]),
    )
