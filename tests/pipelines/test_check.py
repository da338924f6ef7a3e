"""What no later stage could use is refused before the first of them."""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import ParquetSource
from semantic_ids.parameters import (
    EvaluateParameters,
    IdentifyParameters,
    IngestParameters,
    TokenizerParameters,
)
from semantic_ids.pipeline_registry import register_pipelines
from semantic_ids.pipelines.check.nodes import check

CONF = Path(__file__).parents[2] / "conf" / "base"


def group(name: str, **changes) -> dict:
    return yaml.safe_load((CONF / f"parameters_{name}.yml").read_text())[name] | changes


@pytest.fixture
def call(tmp_path: Path):
    """Check n items of 4 dimensions with the parameters of conf/base and some changes."""

    def _call(ids=300, tokenizer=None, identify=None, evaluate=None, items=None, **changes):
        ids = pa.array(range(ids)) if isinstance(ids, int) else ids
        vectors = np.zeros((len(ids), 4)).tolist()  # their values are not looked at
        pq.write_table(pa.table({"ItemID": ids, "embedding": vectors}), tmp_path / "a.parquet")
        check(
            ParquetSource(str(tmp_path)),
            items,
            IngestParameters(**group("ingest", **changes)),
            TokenizerParameters(**group("tokenizer", **(tokenizer or {}))),
            IdentifyParameters(**group("identify", **(identify or {}))),
            EvaluateParameters(**group("evaluate", **(evaluate or {}))),
        )

    return _call


def test_every_hint_resolves() -> None:
    hints = typing.get_type_hints(check)
    assert (hints["ingest"], hints["tokenizer"], hints["identify"], hints["evaluate"]) == (
        IngestParameters,
        TokenizerParameters,
        IdentifyParameters,
        EvaluateParameters,
    )


@pytest.mark.parametrize("name", ["tokenize", "__default__"])
def test_it_comes_first(name) -> None:
    assert [node.name for node in register_pipelines()[name].nodes][:2] == ["check", "ingest"]


def test_columns_and_types(call) -> None:
    with pytest.raises(BadInput, match="column 'vector' is missing"):
        call(vector_column="vector")
    with pytest.raises(BadInput, match="column 'ItemID' is of type double"):
        call(ids=pa.array([0.5] * 300))


def test_sizes(call) -> None:
    sizes = {"codebook_sizes": [16, 16]}
    with pytest.raises(
        BadInput, match=r"16x16 make 256 codes for 300 items.*tokenizer\.codebook_sizes=25x25"
    ):
        call(tokenizer=sizes)
    call(tokenizer=sizes, identify={"strategy": "suffix"})
    call(tokenizer=sizes, max_items=256)
    with pytest.raises(BadInput, match="200 items are fewer than the 256 codes"):
        call(max_items=200)
    with pytest.raises(BadInput, match="63"):
        call(tokenizer={"codebook_sizes": [256] * 8})


def test_a_device_that_is_not_there(call, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BadInput, match="no CUDA device"):
        call(tokenizer={"device": "cuda"})


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int64(), pa.string()], ids=str)
def test_labels_of_other_items(call, kind) -> None:
    """Whatever type the ids have in either file; rows without an id are not counted."""
    ids = pa.array([*range(200), *[None] * 200], pa.int64()).cast(kind)
    sizes = {"codebook_sizes": [8, 64]}
    call(ids=ids, tokenizer=sizes, items=pa.table({"ItemID": range(200), "cat": ["a", "b"] * 100}))
    other = pa.table({"ItemID": [5, 1000], "cat": ["a", "b"]})
    with pytest.raises(BadInput, match="only 1 of 200 items are in the items file"):
        call(ids=ids, tokenizer=sizes, items=other)


def test_labels_in_a_column_that_is_not_there(call) -> None:
    items = pa.table({"ItemID": range(300), "cat": ["a", "b"] * 150})
    call(items=items, evaluate={"labels": ["cat"]})
    with pytest.raises(BadInput, match="no column 'kind'"):
        call(items=items, evaluate={"labels": ["kind"]})


def test_ids_of_two_widths_in_two_files(call, tmp_path) -> None:
    table = pa.table({"ItemID": pa.array([1000], pa.int16()), "embedding": [[0.0] * 4]})
    pq.write_table(table, tmp_path / "b.parquet")
    call(items=pa.table({"ItemID": [*range(300), 1000], "cat": ["a"] * 301}))
    with pytest.raises(BadInput, match="only 0 of 301 items"):
        call(items=pa.table({"ItemID": [5000], "cat": ["a"]}))
