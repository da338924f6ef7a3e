"""The pipeline `publish` with a refresh: warm, then a refit, then as every day."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.publishing.files import read_state
from semantic_ids.publishing.locations import generation
from semantic_ids.tokenizers import load_tokenizer
from tests.conftest import clustered

ITEMS = 500


def catalogue(path: Path, items: range) -> Path:
    x = clustered(ITEMS, 16, seed=3)[list(items)]
    column = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 16)
    pq.write_table(pa.table({"ItemID": pa.array(items), "embedding": column}), path)
    return path


@pytest.fixture
def publish(run, tmp_path):
    """Publish a range of the items; return the folder of the newest generation."""
    sold = np.random.default_rng(1).integers(0, 9, ITEMS)
    pq.write_table(pa.table({"ItemID": np.arange(ITEMS), "sold": sold}), tmp_path / "items.parquet")

    def _publish(there: range, **options) -> Path:
        params = {
            "embeddings": str(catalogue(tmp_path / "day.parquet", there)),
            "items": str(tmp_path / "items.parquet"),
            "publish.onnx": False,
            **{name.replace("__", "."): value for name, value in options.items()},
        }
        run("publish", params=params)
        return generation(tmp_path / "data/07_model_output/bundles")

    return _publish


def ids(folder: Path) -> dict[int, tuple[int, ...]]:
    live = read_state(folder).live
    return dict(zip(live.item_ids.to_pylist(), map(tuple, live.codes.tolist()), strict=True))


def report(folder: Path) -> dict[str, float]:
    return json.loads((folder / "churn.json").read_text())


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_warm_then_refit_then_append(publish, tmp_path, kind) -> None:
    given = {"tokenizer__kind": kind, "publish__weight_column": "sold"}
    one = publish(range(400), **given)
    two = publish(range(450), publish__refresh="warm", **given)
    before, after = ids(one), ids(two)
    assert {item: after[item] for item in before} == before and len(after) == 450
    assert manifest(two)["vocabulary"] == manifest(one)["vocabulary"]
    books = [load_tokenizer(folder / "tokenizer") for folder in (one, two)]
    assert books[0].content != books[1].content
    assert (books[0].preprocessing.mean == books[1].preprocessing.mean).all()
    found = report(two)
    assert found["churn.moved_rate"] == found["churn.weighted.moved_rate"] == 0
    assert found["churn.reused"] == 0 and found["churn.items.new"] == 50
    assert found["refresh.frozen_error_ratio"] == found["churn.distortion_ratio"] != 1
    assert 0 <= found["refresh.would_move_rate"] < 0.5

    three = publish(
        range(10, 460),
        publish__refresh="refit",
        tokenizer__seed=5,
        tokenizer__codebook_sizes=[16, 12, 20],
        **given,
    )
    found, new = report(three), ids(three)
    assert manifest(three)["vocabulary"] == three.name != manifest(two)["vocabulary"]
    assert found["churn.reused"] == 0 and found["churn.moved_rate"] > 0.1
    assert found["churn.level.1"] > 0.3 and found["refresh.reserved_error_ratio"] >= 0.99
    owner = {code: item for item, code in after.items()}
    assert all(owner.get(code, item) == item for item, code in new.items())
    assert json.loads((three / "vocabulary.json").read_text())["tokens_per_level"] == [16, 12, 20]

    four = publish(range(480), tokenizer__seed=5, tokenizer__codebook_sizes=[16, 12, 20], **given)
    last = ids(four)
    assert {item: last[item] for item in new} == new and len(last) == 480
    assert report(four)["churn.items.new"] == 30  # the ten that are back are new
    assert all(owner.get(code, item) == item for item, code in last.items())
    assert (tmp_path / "data/08_reporting/churn.png").is_file()
    assert report(four)["append.items_until_spill"] >= 0


@pytest.mark.slow
def test_what_cannot_be_published(publish) -> None:
    publish(range(400))
    for given, message in (
        ({"publish__weight_column": "sols"}, "no column 'sols'; the nearest is 'sold'"),
        ({"publish__weight_column": "sold", "items": "none"}, "there is no items file"),
    ):
        with pytest.raises(Exception, match=message):
            publish(range(400), **given)
    with pytest.raises(Exception, match="a tokenizer of 2 levels for a vocabulary of"):
        publish(range(400), publish__refresh="refit", tokenizer__codebook_sizes=[32, 64])
