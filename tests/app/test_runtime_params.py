"""`--params`: a value is what was typed, and the type of the option decides what it means."""

from __future__ import annotations

import click
import pytest

from semantic_ids.app.runtime_params import AGAIN, joined, read_params, types


@pytest.mark.parametrize(
    "path",
    [
        "/data/run #2",
        "items #2.parquet",
        "*.parquet",
        "part-[0-9]*.parquet",
        "[a].parquet",
        "@file",
        "%d",
        "~/x",
        "a: b",
        "a:",
        "- a",
        "& a",
        "| a",
        "> a",
        "{a}",
        "'a",
        '"a"',
        "!tag",
        "date=2024-01-01/part.parquet",
        "a,b.parquet",
        "a, b",
        "0",
        "007",
        "no",
        "null",
        "~",
        "1e5",
        "2024-01-01",
        "1_000",
        "0x10",
        ".5",
        "inf",
        "true",
        "s3://bucket/a?b&c=d",
        "ends with a space ",
        r"C:\x",
        "日本.parquet",
    ],
)
@pytest.mark.parametrize(
    "name", ["embeddings", "items", "data_root", "ingest.id_column", "logs.folder"]
)
def test_text_is_what_was_typed_also_between_others(path: str, name: str) -> None:
    found = read_params(f"tokenizer.seed=7,{name}={path},sample.tuning_items=3")
    assert found["tokenizer"] == {"seed": 7}
    assert found["sample"] == {"tuning_items": 3}
    for part in name.split("."):
        found = found[part]
    assert found == path


def test_a_comma_before_a_name_and_an_equals_sign_is_written_with_a_backslash() -> None:
    assert read_params(r"data_root=run\,k=3,tokenizer.seed=1") == {
        "data_root": "run,k=3",
        "tokenizer": {"seed": 1},
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("tokenizer.codebook_sizes", "[16,16,16]", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "[16, 16, 16]", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "16,16,16", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "16x16x16", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "16X16X16", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "16×16×16", [16, 16, 16]),
        ("tokenizer.codebook_sizes", "256", [256]),
        ("tokenizer.codebook_sizes", "16*16", "16*16"),
        ("evaluate.labels", "auto", "auto"),
        ("evaluate.labels", "a+b", ["a", "b"]),
        ("evaluate.labels", "a,b", ["a", "b"]),
        ("evaluate.labels", "['a', no]", ["a", "no"]),
        ("evaluate.labels", "[c++]", ["c++"]),
        ("evaluate.labels", "0", ["0"]),
        ("ingest.max_items", "null", None),
        ("ingest.max_items", "None", None),
        ("ingest.max_items", "1e3", 1000),
        ("ingest.max_items", "1.5", "1.5"),
        ("tokenizer.seed", "x", "x"),
        ("tokenizer.seed", "007", 7),
        ("tokenizer.rq_kmeans.balance", "2", 2.0),
        ("tokenizer.rq_kmeans.refine_gain", "5e-4", 5e-4),
        ("tokenizer.preprocess.normalize", "true", True),
        ("tokenizer.preprocess.normalize", "False", False),
        ("tokenizer.preprocess.normalize", "no", False),
        ("tokenizer.preprocess.normalize", "maybe", "maybe"),
        ("tokenizer.kind", "rq_vae ", "rq_vae"),
    ],
)
def test_the_type_of_the_option_decides(name: str, text: str, value: object) -> None:
    assert name in types()
    found: object = read_params(f"{name}={text},embeddings=x")
    for part in name.split("."):
        found = found[part]  # type: ignore[index]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tokenizer.kind", "'tokenizer.kind' in --params: expected NAME=VALUE"),
        ("=3", "'=3' in --params"),
        ("embeddings=x.parquet,tokenizer.seed", "'tokenizer.seed' in --params: expected NAME=VAL"),
        ("data_root=${HOME}", r"'\$\{HOME\}' in --params: '\$\{' is not filled in"),
    ],
)
def test_what_is_no_pair_is_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        read_params(text)


def test_the_last_of_equal_names_holds_and_empty_parts_mean_nothing() -> None:
    assert read_params("") == {}
    assert read_params("tokenizer.seed=1,,tokenizer.seed=2,") == {"tokenizer": {"seed": 2}}


def test_params_that_are_given_twice_are_both_read() -> None:
    given = joined(
        ["--params=data_root=a", "--env=x", "--params", "embeddings=b", "--", "--params"]
    )
    assert given == ["--env=x", f"--params=data_root=a{AGAIN}embeddings=b", "--", "--params"]
    assert read_params(given[1].removeprefix("--params=")) == {"data_root": "a", "embeddings": "b"}
    assert joined(["--env=x", "--params"]) == ["--env=x", "--params"]
