"""Parameters that would have no effect in a run are refused, or warned of where they do no harm.

What one group of options can say of itself stands in its `check`; here is what needs several.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any, NamedTuple

from semantic_ids.errors import BadInput
from semantic_ids.options import flat
from semantic_ids.parameters import Parameters, RunOptions, flatten
from semantic_ids.recommenders.compare_options import CompareOptions
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

logger = logging.getLogger(__name__)

DEFAULTS = {name: known.default for name, known, _ in flat(RunOptions)}


class Rule(NamedTuple):
    """A parameter that has an effect only with others; its default is let pass."""

    name: str
    has_effect: Callable[[Any], bool]
    because: str
    do: str


RULES = (
    Rule(
        "evaluate.twin",
        lambda run: run.tokenizer.fit_on == "all",
        "with tokenizer.fit_on train the tokenizer itself has not seen the validation items",
        "leave evaluate.twin false: the validation figure is there without it",
    ),
    Rule(
        "evaluate.twin",
        lambda run: run.sample.validation_share > 0,
        "with sample.validation_share 0 there are no items to measure it on",
        "leave evaluate.twin false, or hold items out: sample.validation_share 0.1",
    ),
    Rule(
        "evaluate.max_label_values",
        lambda run: run.evaluate.labels == "auto",
        "the columns named by evaluate.labels are taken whatever they hold",
        "leave it out, or take evaluate.labels=auto",
    ),
    Rule(
        "identify.candidates",
        lambda run: run.identify.strategy == "reassign",
        "only identify.strategy reassign offers items other prefixes",
        "leave it out, or take identify.strategy=reassign",
    ),
    Rule(
        "tokenizer.rq_kmeans.unique_rounds",
        lambda run: (
            not run.tokenizer.rq_kmeans.unique_rounds or run.identify.strategy == "reassign"
        ),
        "only identify.strategy reassign gives the IDs that it refines codebooks for",
        "leave it out, or take identify.strategy=reassign",
    ),
    Rule(
        "export.mlflow_model",
        lambda run: run.export.onnx,
        "the model is made of the graphs that export.onnx writes",
        "leave it out, or take export.onnx=true too",
    ),
    Rule(
        "export.mlflow_model",
        lambda run: run.tracking.enabled,
        "with tracking.enabled false there is no MLflow run to log it in",
        "leave it out, or take tracking.enabled=true",
    ),
    Rule(
        "export.registered_model",
        lambda run: run.export.mlflow_model,
        "only export.mlflow_model makes what could be registered",
        "leave it out, or take export.mlflow_model=true",
    ),
    Rule(
        "export.model_alias",
        lambda run: run.export.mlflow_model and bool(run.export.registered_model),
        "it names a version of a registered model, and none is registered",
        "leave it out, or take export.mlflow_model=true and a name, export.registered_model",
    ),
)


def refuse_without_effect(parameters: Parameters) -> None:
    """Raise `BadInput` for values that were changed and would change nothing.

    The options of an rq_vae are made as training makes them, so that what they refuse is refused
    before any work.
    """
    values = dict(flatten(parameters.model_dump()))
    for rule in RULES:
        value, default = values.get(rule.name), DEFAULTS.get(rule.name, MISSING)
        if value != default and not rule.has_effect(parameters):
            raise BadInput(
                f"{value!r} would have no effect: {rule.because}", where=rule.name, do=rule.do
            )
    if parameters.tokenizer.kind == "rq_vae":
        RQVAEOptions.of(parameters.tokenizer.options)
    for options in (RecommenderOptions, JudgeOptions, CompareOptions):
        options.of(getattr(parameters, options.group).model_dump())


def warn_unused(parameters: Parameters, runtime: Mapping[str, Any]) -> None:
    """Warn of what `--params` sets for another kind of tokenizer than the one that is fitted."""
    used = dict(flatten(parameters.tokenizer.in_use()))
    for name, _ in flatten({"tokenizer": runtime.get("tokenizer", {})}):
        group, own = name.split(".")[1], name.removeprefix("tokenizer.")
        if group in ("rq_kmeans", "rq_vae") and own not in used:
            logger.warning(
                "'%s' has no effect: the tokenizer is %s", name, parameters.tokenizer.kind
            )
