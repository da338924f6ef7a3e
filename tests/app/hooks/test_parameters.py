"""The tree of parameters is checked as a whole, in the words of the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from semantic_ids.app.hooks.parameters import MOVED, check_parameters, known_parameters
from semantic_ids.errors import BadInput
from semantic_ids.parameters import Parameters

CONF = Path(__file__).parents[3] / "conf"


@pytest.fixture
def tree() -> dict:
    return {
        key: value
        for file in CONF.glob("base/parameters*.yml")
        for key, value in yaml.safe_load(file.read_text()).items()
    }


def put(tree: dict, name: str, value: object) -> dict:
    """Set a dotted name, and return the runtime parameters that would have done so."""
    *groups, last = name.split(".")
    runtime: dict = {}
    inner = runtime
    for group in groups:
        tree = tree.setdefault(group, {})
        inner = inner.setdefault(group, {})
    tree[last] = inner[last] = value
    return runtime


LEAVES = [
    name
    for name in known_parameters()
    if not any(other.startswith(f"{name}.") for other in known_parameters())
]


def test_base_is_complete(tree: dict) -> None:
    assert isinstance(check_parameters(tree, {}), Parameters)


@pytest.mark.parametrize("name", LEAVES)
def test_every_misspelt_parameter_is_refused_and_its_neighbour_named(tree: dict, name: str) -> None:
    wrong = f"{name}{name[-1]}"
    with pytest.raises(
        BadInput, match=f"--params: unknown parameter '{wrong}'; the nearest is '{name}'"
    ):
        check_parameters(tree, put(tree, wrong, 1))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("embedings", "embeddings"),
        ("tokeniser.kind", "tokenizer.kind"),
        ("kind", "tokenizer.kind"),
        ("tokenizer.epochs", "tokenizer.rq_vae.unique.epochs"),
        ("codebook_sizes", "tokenizer.codebook_sizes"),
    ],
)
def test_the_nearest_parameter_may_be_elsewhere(tree: dict, name: str, near: str) -> None:
    with pytest.raises(BadInput, match=f"unknown parameter '{name}'; the nearest is '{near}'"):
        check_parameters(tree, put(tree, name, 1))


def test_all_unknown_parameters_are_named_at_once(tree: dict) -> None:
    put(tree, "tokenizer.sed", 1)
    put(tree, "zzz.qqq", 1)
    with pytest.raises(
        BadInput,
        match=r"'tokenizer.sed'; the nearest is 'tokenizer.seed'; unknown parameter 'zzz.qqq'",
    ):
        check_parameters(tree, {})


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("tokenizer.beam", "tokenizer.rq_kmeans.beam_size", 3),
        ("tokenizer.preprocess", "tokenizer.preprocess.normalize", True),
    ],
    ids=["a name that is gone", "a name that is a group now"],
)
def test_an_old_name_is_refused_naming_the_new(
    tree: dict, monkeypatch: pytest.MonkeyPatch, old: str, new: str, value: object
) -> None:
    monkeypatch.setitem(MOVED, old, new)
    assert check_parameters({**tree, "tokenizer": {**tree["tokenizer"]}}, {})
    with pytest.raises(BadInput, match=rf"^--params: parameter '{old}' is now '{new}'\.?$"):
        check_parameters(tree, put(tree, old, value))


def test_moved_parameters_have_a_name_that_is_known() -> None:
    assert set(MOVED.values()) <= set(LEAVES) and not set(MOVED) & set(LEAVES)


def test_a_dotted_key_in_a_file_is_to_be_nested(tree: dict) -> None:
    with pytest.raises(BadInput, match="nested mapping, tokenizer: kind"):
        check_parameters(tree | {"tokenizer.kind": "rq_vae"}, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tokenizer.seed", "abc", "parameter 'tokenizer.seed' is 'abc', expected a valid integer"),
        (
            "tokenizer.seed",
            -1,
            "parameter 'tokenizer.seed' is -1, expected greater than or equal to 0",
        ),
        (
            "tokenizer.kind",
            "rqvae",
            "parameter 'tokenizer.kind' is 'rqvae', expected 'rq_kmeans' or 'rq_vae'",
        ),
        (
            "tokenizer.codebook_sizes",
            "256xx3",
            "parameter 'tokenizer.codebook_sizes' is '256xx3', expected a list, such as 16x16x16",
        ),
        (
            "tokenizer.codebook_sizes",
            "256x0",
            "parameter 'tokenizer.codebook_sizes' is '256x0', expected greater than or equal to 1",
        ),
        (
            "tokenizer.codebook_sizes",
            [],
            (
                "parameter 'tokenizer.codebook_sizes' is \\[\\], expected List should have at least"
                " 1 item"
            ),
        ),
        ("tokenizer", 5, "parameter 'tokenizer' is 5, expected a group of parameters"),
        ("evaluate.labels", 3, "parameter 'evaluate.labels' is 3, expected 'auto' or a list"),
        (
            "sample.validation_share",
            1.0,
            "parameter .sample.validation_share. is 1.0, expected less than 1",
        ),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(
    tree: dict, name: str, value: object, message: str
) -> None:
    with pytest.raises(BadInput, match=f"--params: {message}"):
        check_parameters(tree, put(tree, name, value))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tokenizer.codebook_sizes", "512x256x64", [512, 256, 64]),
        ("tokenizer.codebook_sizes", 256, [256]),
        ("tokenizer.rq_vae.network.hidden", "64", [64]),
        ("evaluate.labels", "cat1+cat2", ["cat1", "cat2"]),
        ("evaluate.labels", "auto", "auto"),
        ("ingest.max_items", "none", None),
    ],
)
def test_lists_and_nothing_have_a_spelling_for_the_command_line(
    tree: dict, name: str, text: object, value: object
) -> None:
    read: object = check_parameters(tree, put(tree, name, text))
    for part in name.split("."):
        read = getattr(read, part)
    assert read == value


def test_a_missing_parameter_is_named(tree: dict) -> None:
    del tree["tokenizer"]["seed"]
    with pytest.raises(
        BadInput, match=r"'tokenizer.seed' is missing, expected a value in conf/base"
    ):
        check_parameters(tree, {})


@pytest.mark.parametrize(
    ("folder", "place"),
    [("tiny", "conf/tiny/parameters_x.yml"), ("base", "conf/base/parameters_x.yml")],
)
def test_a_wrong_value_from_a_file_names_the_file(
    tree: dict, tmp_path: Path, folder: str, place: str
) -> None:
    folders = [tmp_path / "conf" / name for name in ("tiny", "base")]
    for each in folders:
        each.mkdir(parents=True)
        (each / "parameters_empty.yml").touch()
    (tmp_path / "conf" / folder / "parameters_x.yml").write_text("tokenizer: {seed: abc}")
    put(tree, "tokenizer.seed", "abc")
    with pytest.raises(BadInput, match=f"^{place}: parameter 'tokenizer.seed'"):
        check_parameters(tree, {}, folders)


def test_a_path_among_the_parameters_is_told_where_it_belongs(tree: dict) -> None:
    with pytest.raises(BadInput, match=r"'embeddings' is not a parameter; set it in globals.yml"):
        check_parameters(tree | {"embeddings": "x.parquet"}, {})
    assert check_parameters(tree | {"embeddings": "x.parquet"}, {"embeddings": "x.parquet"})


@pytest.mark.parametrize("former", MOVED)
def test_a_former_parameter_is_refused_with_the_one_that_it_is_now(tree: dict, former: str) -> None:
    """Also where a group has its name now."""
    runtime = put(tree, former, "gumbel")
    with pytest.raises(BadInput, match=rf"parameter '{former}' is now '{MOVED[former]}'"):
        check_parameters(tree, runtime)
