"""Every parameter has one home, one type, one description, and an effect."""

from __future__ import annotations

import ast
import inspect
import typing
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from semantic_ids import parameters as p
from semantic_ids.pipeline_registry import register_pipelines
from semantic_ids.tokenizers.options import PreprocessOptions, RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.model import RQVAEOptions

ROOT = Path(__file__).parents[1]


def base() -> dict:
    values: dict = {}
    for file in sorted((ROOT / "conf" / "base").glob("parameters*.yml")):
        for group, content in yaml.safe_load(file.read_text()).items():
            assert group not in values
            values[group] = content
    return values


def groups(model: type[BaseModel]):
    yield model
    for field in model.model_fields.values():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel):
            yield from groups(field.annotation)


MODELS = list(groups(p.Parameters))
LEAVES = [
    (model, name)
    for model in MODELS
    for name, field in model.model_fields.items()
    if not (inspect.isclass(field.annotation) and issubclass(field.annotation, BaseModel))
]


def test_conf_base_is_complete_and_valid():
    values = p.Parameters.model_validate(base())
    assert values.model_dump() == base()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_models_have_no_defaults_and_forbid_what_they_do_not_know(model):
    assert model.model_config["extra"] == "forbid"
    assert all(field.is_required() for field in model.model_fields.values())


@pytest.mark.parametrize(("model", "name"), LEAVES, ids=[f"{m.__name__}.{n}" for m, n in LEAVES])
def test_every_parameter_is_described(model, name):
    description = model.model_fields[name].description
    assert description and description.endswith(".") and description[0] == description[0].strip()


def attributes_read() -> set[str]:
    """Names read as an attribute anywhere in the source.

    `parameters.queries`, `self.options.clip`.
    """
    trees = [
        ast.parse(file.read_text())
        for file in (ROOT / "src").rglob("*.py")
        if file.name != "parameters.py"
    ]
    return {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }


READ = attributes_read()


@pytest.mark.parametrize(("model", "name"), LEAVES, ids=[f"{m.__name__}.{n}" for m, n in LEAVES])
def test_every_parameter_is_read_somewhere(model, name):
    assert name in READ


@pytest.mark.parametrize(
    ("model", "options", "group"),
    [
        (p.RQKMeansParameters, RQKMeansOptions, "rq_kmeans"),
        (p.RQVAEParameters, RQVAEOptions, "rq_vae"),
        (p.PreprocessParameters, PreprocessOptions, "preprocess"),
    ],
)
def test_the_options_of_the_python_api_are_the_parameters_with_the_values_of_conf_base(
    model, options, group
):
    own = [
        f for f in fields(options) if f.name != "start"
    ]  # an rq_vae's start is the group rq_kmeans
    assert [f.name for f in own] == list(model.model_fields)
    defaults = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in own}
    assert defaults == base()["tokenizer"][group]


@pytest.mark.parametrize("node", register_pipelines()["__default__"].nodes, ids=lambda n: n.name)
def test_every_typed_node_gets_its_model(node):
    """A hint that cannot be resolved at run time makes Kedro drop all of them, and hand over a raw
    dict.
    """
    hints = typing.get_type_hints(node.func)
    by_argument = dict(zip(inspect.signature(node.func).parameters, node.inputs, strict=True))
    for argument, source in by_argument.items():
        if source.startswith("params:"):
            expected = p.Parameters
            for part in source.removeprefix("params:").split("."):
                expected = expected.model_fields[part].annotation
            assert hints[argument] is expected


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("256x128x64", [256, 128, 64]),
        ("300", [300]),
        (300, [300]),
        ([4, 5], [4, 5]),
        ("7x1", [7, 1]),
    ],
)
def test_lists_have_a_spelling_that_the_command_line_can_carry(value, read):
    values = base()["tokenizer"] | {"codebook_sizes": value}
    assert p.TokenizerParameters.model_validate(values).codebook_sizes == read


@pytest.mark.parametrize(
    "value", ["", "ax3", "3x", "3,4", "0x3", [], [0], [1.5], True, None, "-3x4"]
)
def test_what_is_no_list_of_sizes_is_refused(value):
    with pytest.raises(ValidationError):
        p.TokenizerParameters.model_validate(base()["tokenizer"] | {"codebook_sizes": value})


@pytest.mark.parametrize("value", [None, "null", "none"])
def test_nothing_has_a_spelling(value):
    assert (
        p.IngestParameters.model_validate(base()["ingest"] | {"max_items": value}).max_items is None
    )
    assert (
        p.PreprocessParameters.model_validate(
            base()["tokenizer"]["preprocess"] | {"dimensions": value}
        ).dimensions
        is None
    )


@pytest.mark.parametrize(("value", "read"), [(None, None), ("null", None), (1.5, 1.5), (2, 2.0)])
def test_balance_is_nothing_or_more_than_the_mean(value, read):
    values = base()["tokenizer"]["rq_kmeans"] | {"balance": value}
    assert p.RQKMeansParameters.model_validate(values).balance == read


@pytest.mark.parametrize("value", [1.0, 0.5, "much"])
def test_a_balance_that_cannot_be_kept_is_refused(value):
    with pytest.raises(ValidationError):
        p.RQKMeansParameters.model_validate(base()["tokenizer"]["rq_kmeans"] | {"balance": value})


@pytest.mark.parametrize(
    "change",
    [
        {"dimensions": 0},
        {"dimensions": -1},
        {"dimensions": "all"},
        {"whiten": -0.1},
        {"whiten": 1.1},
    ],
)
def test_what_cannot_be_done_to_principal_axes_is_refused(change):
    with pytest.raises(ValidationError):
        p.PreprocessParameters.model_validate(base()["tokenizer"]["preprocess"] | change)


@pytest.mark.parametrize(
    ("value", "read"),
    [("auto", "auto"), ("cat1", ["cat1"]), ("cat1+cat2", ["cat1", "cat2"]), (["a"], ["a"])],
)
def test_label_columns_have_a_spelling(value, read):
    assert (
        p.EvaluateParameters.model_validate(base()["evaluate"] | {"labels": value}).labels == read
    )
