"""What would have no effect in a run is refused; what has one, and every default, is let pass."""

from __future__ import annotations

import logging

import pytest

from semantic_ids.app.hooks.effects import RULES, refuse_without_effect, warn_unused
from semantic_ids.app.hooks.parameters import known_parameters
from semantic_ids.errors import BadInput
from semantic_ids.parameters import Parameters, RunOptions


def run(**changes: object) -> Parameters:
    """Return the defaults with some changed: `tokenizer__rq_kmeans__balance=2.0`."""
    values = RunOptions().to_dict()
    del values["tokenizer"]["rq_vae"]["start"]
    for name, value in changes.items():
        *groups, last = name.split("__")
        inner = values
        for group in groups:
            inner = inner[group]
        inner[last] = value
    return Parameters.model_validate(values)


VAE = {"tokenizer__kind": "rq_vae"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate__twin": True, "tokenizer__fit_on": "train"}, "evaluate.twin: True would have"),
        ({"evaluate__twin": True, "sample__validation_share": 0.0}, "sample.validation_share 0"),
        ({"evaluate__max_label_values": 9, "evaluate__labels": ["a"]}, "max_label_values: 9"),
        ({"identify__candidates": 3, "identify__strategy": "suffix"}, "identify.candidates: 3"),
        (
            {"tokenizer__rq_kmeans__unique_rounds": 5, "identify__strategy": "none"},
            "unique_rounds: 5",
        ),
        ({**VAE, "tokenizer__rq_kmeans__unique_rounds": 5}, "unique_rounds: 5"),
        ({**VAE, "tokenizer__rq_kmeans__beam_size": 2}, "rq_kmeans.beam_size: 2"),
        ({**VAE, "tokenizer__rq_kmeans__balance": 2.0}, "rq_kmeans.balance: 2.0"),
    ],
)
def test_a_value_without_effect_is_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        refuse_without_effect(run(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        VAE,
        {"identify__strategy": "suffix"},
        {"identify__strategy": "none", "tokenizer__rq_kmeans__unique_rounds": 0},
        {"evaluate__twin": True},
        {"evaluate__labels": ["a"]},
        {"tokenizer__fit_on": "train"},
        {"tokenizer__rq_kmeans__balance": 2.0},
        {**VAE, "tokenizer__rq_kmeans__unique_rounds": 0, "identify__strategy": "none"},
    ],
)
def test_defaults_and_values_with_an_effect_are_let_pass(changes):
    refuse_without_effect(run(**changes))


def test_what_options_refuse_of_each_other_is_refused_before_any_work():
    values = run(**VAE)
    assert values.tokenizer.options["start"]["init"] == "progressive"
    with pytest.raises(BadInput, match="gumbel"):
        refuse_without_effect(GUMBEL)


GUMBEL = run(
    **VAE,
    tokenizer__rq_vae__gradient__estimator="gumbel",
    tokenizer__rq_vae__codebook__sinkhorn=0.1,
)


def test_rules_are_of_parameters_there_are():
    assert {rule.name for rule in RULES} <= set(known_parameters())


@pytest.mark.parametrize(
    ("kind", "told"), [("rq_kmeans", "tokenizer.rq_vae.schedule.epochs"), ("rq_vae", None)]
)
def test_options_of_the_other_kind_are_told_of(kind, told, caplog):
    with caplog.at_level(logging.WARNING):
        warn_unused(
            run(tokenizer__kind=kind), {"tokenizer": {"rq_vae": {"schedule": {"epochs": 3}}}}
        )
    said = [record.message for record in caplog.records]
    assert said == ([f"'{told}' has no effect: the tokenizer is {kind}"] if told else [])
