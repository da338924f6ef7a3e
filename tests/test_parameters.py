"""Every parameter has one home, one type, one description, and an effect."""

from __future__ import annotations

import ast
import inspect
import typing
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from semantic_ids import parameters as p
from semantic_ids.errors import BadInput
from semantic_ids.options import flat, types_of
from semantic_ids.pipeline_registry import register_pipelines
from tests.probe_options import wrong_values

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


def test_conf_base_has_the_defaults_of_the_options():
    """So that Python and the pipeline do the same where nothing is said."""
    defaults = {name: known.default for name, known, _ in flat(p.RunOptions)}
    found = {name: list(v) if isinstance(v, tuple) else v for name, v in defaults.items()}
    assert found == dict(p.flatten(base()))


OPTIONS = [(name, known, hint) for name, known, hint in flat(p.RunOptions)]


@pytest.mark.parametrize(("name", "known", "hint"), OPTIONS, ids=[name for name, _, _ in OPTIONS])
def test_the_model_takes_what_the_option_takes(name, known, hint):
    """Each wrong value is refused by the model as the option refuses it; the default is taken."""
    *groups, last = name.split(".")
    model, values, options = p.Parameters, base(), p.RunOptions
    for group in groups:
        model, values = model.model_fields[group].annotation, values[group]
        options = types_of(options)[group]
    assert model.__name__ == options.__name__.replace("Options", "Parameters")
    assert model.model_fields[last].description == known.metadata["meaning"]
    assert model.model_validate(values)
    for wrong, value in wrong_values(options):
        if wrong == last and not _read_from_text(value, hint):
            with pytest.raises(ValidationError):
                model.model_validate(values | {last: value})
            with pytest.raises(BadInput, match=rf"'{last}' is "):
                options.of(values | {last: value})


def _read_from_text(value: object, hint: object) -> bool:
    """Whether the command line may spell a value so: `true`, a name, 1 for true."""
    texts = hint is bool or "str" in str(hint)
    return texts and (value in ("true", "text") or (value == 1 and hint is bool))


def test_options_of_one_kind_are_one_model():
    fields_of = p.TokenizerParameters.model_fields
    assert fields_of["rq_kmeans"].annotation is p.RQKMeansParameters
    assert p.Parameters.model_fields["tokenizer"].annotation is p.TokenizerParameters


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
    "value", ["", "ax3", "3x", "3;4", "0x3", [], [0], [1.5], True, None, "-3x4"]
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
