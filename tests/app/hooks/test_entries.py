"""What a catalog may say of our artifacts: checked in one line, before any work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.probe import Project

from semantic_ids import datasets
from semantic_ids.app.hooks.entries import TYPES, check_catalog
from semantic_ids.errors import BadInput

ROOT = Path(__file__).parents[3]


@pytest.fixture
def catalog() -> dict:
    """The catalog in conf/base, its places filled in."""
    read = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
    return {
        name: {key: str(value).replace("${_root}", "/x") for key, value in entry.items()}
        if isinstance(entry, dict)
        else entry
        for name, entry in read.items()
    }


class OwnCodes(datasets.CodesDataset):
    """A user's own class."""


def test_every_artifact_of_the_project_is_checked_and_sound(catalog: dict) -> None:
    check_catalog(catalog)
    assert {name for name in catalog if not name.startswith("_")} == set(TYPES)
    for name, kind in TYPES.items():
        assert catalog[name]["type"] == f"semantic_ids.datasets.{kind}"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("codes", {"versioned": True}, "'codes' is versioned; expected one artifact under one"),
        ("tokenizer", {"credentials": "dev"}, "'tokenizer' has credentials; expected none: arti"),
        ("item_embeddings", {"credentials": "s3"}, "'item_embeddings' has credentials; .*AWS_ACC"),
        (
            "item_embeddings",
            {"type": "pandas.ParquetDataset", "filepath": "x.parquet"},
            "'item_embeddings' is of type pandas.ParquetDataset; .*; name the file with"
            " embeddings=|'item_embeddings' is of type pandas.ParquetDataset; .*=PATH",
        ),
        ("metrics", {"type": "json.JSONDataset"}, "'metrics' is of type json.JSONDataset; exp"),
        ("metrics", {"type": "no.such.Thing"}, r"'metrics' is of type no.such.Thing \(No module"),
        ("codes", {"filepath": "s3://bucket/codes"}, "'codes' rests at s3://bucket/codes; expec"),
        ("codes", {"filepath": 5}, "'codes' rests at 5; expected a path; write it in quotes"),
        ("codes", {"filepath": "~/codes"}, "'codes' rests at ~/codes; expected a path on this"),
        ("checkpoints", {"folder": "gs://b/c"}, "'checkpoints' rests at gs://b/c"),
        ("figure_{name}", {"filepath": "s3://b/{name}.png"}, "rests at s3://b"),
        ("codes", {"load_args": {}}, "'codes' has 'load_args'; expected only type, filepath, to"),
        ("codes", {"filepth": "x"}, "'codes' has 'filepth'; the nearest is 'filepath'"),
        (
            "semantic_ids",
            {"filepath": "/x/07_model_output/codes.parquet"},
            "'semantic_ids' rests at .*codes.parquet, as 'codes' does",
        ),
    ],
)
def test_what_a_stage_could_not_work_with_is_refused(
    catalog: dict, name: str, change: dict, message: str
) -> None:
    catalog[name] |= change
    with pytest.raises(BadInput, match=f"^catalog: .*({message})"):
        check_catalog(catalog)


@pytest.mark.parametrize("entry", [None, "x", {"filepath": "x"}])
def test_what_is_no_entry_is_refused(catalog: dict, entry: object) -> None:
    catalog["codes"] = entry
    with pytest.raises(BadInput, match=r"^catalog: 'codes' is .*expected a mapping with a type"):
        check_catalog(catalog)


def test_other_names_and_classes_made_from_ours_are_let_be(catalog: dict) -> None:
    catalog["mine"] = {"type": "pandas.ParquetDataset", "versioned": True, "filepath": "s3://x"}
    catalog["codes"]["type"] = f"{__name__}.OwnCodes"
    catalog["tokenizer"]["versioned"] = False
    check_catalog(catalog)


def test_a_local_catalog_is_checked_before_any_work(in_project: Project) -> None:
    (in_project.folder / "conf/local/catalog.yml").write_text("metrics: {versioned: true}")
    with pytest.raises(BadInput, match="catalog: 'metrics' is versioned"):
        in_project.session()
    assert not (in_project.folder / "logs").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"load_versions": {"tokenizer": "2026"}}, "--load-versions: version 2026 of 'tokenizer'"),
        ({"only_missing_outputs": True}, "--only-missing-outputs: Kedro asks only whether"),
    ],
)
def test_switches_of_kedro_that_would_mislead_are_refused(
    in_project: Project, given: dict, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        in_project.session(tracking={"enabled": False}, run=given)
    assert not (in_project.folder / "data").exists()
