from __future__ import annotations

import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.parameters import (
    EvaluateParameters,
    IdentifyParameters,
    IngestParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.ingest.nodes import ingest

CONF = Path(__file__).parents[2] / "conf" / "base"


def group(name: str, **changes) -> dict:
    return yaml.safe_load((CONF / f"parameters_{name}.yml").read_text())[name] | changes


@pytest.fixture
def call(tmp_path: Path):
    """Ingest n items of 4 dimensions with the parameters of conf/base and some changes."""

    def _call(n: int = 300, vectors=None, tokenizer=None, identify=None, items=None, **changes):
        vectors = (
            np.random.default_rng(0).normal(size=(n, 4)).tolist() if vectors is None else vectors
        )
        pq.write_table(
            pa.table({"ItemID": range(len(vectors)), "embedding": vectors}), tmp_path / "a.parquet"
        )
        return ingest(
            ParquetSource(str(tmp_path)),
            items,
            IngestParameters(**group("ingest", **changes)),
            TokenizerParameters(**group("tokenizer", **(tokenizer or {}))),
            IdentifyParameters(**group("identify", **(identify or {}))),
            EvaluateParameters(**group("evaluate")),
        )

    return _call


def test_every_hint_resolves() -> None:
    hints = typing.get_type_hints(ingest)
    assert hints["item_embeddings"] is ParquetSource
    assert (hints["ingest"], hints["tokenizer"], hints["identify"]) == (
        IngestParameters,
        TokenizerParameters,
        IdentifyParameters,
    )


def test_parameters_reach_the_stream(call) -> None:
    stream, rejected = call(dtype="float16", max_items=280)
    assert isinstance(stream, EmbeddingStream)
    assert (len(stream), stream.dim, stream.dtype, rejected.num_rows) == (280, 4, "float16", 0)


def test_labels_of_other_items_are_refused_before_a_vector_is_read(call) -> None:
    with pytest.raises(BadInput, match="only 1 of 300 items are in the items file"):
        call(items=pa.table({"ItemID": [5, 1000], "cat": ["a", "b"]}))
    assert len(call(items=pa.table({"ItemID": range(300), "cat": ["a", "b"] * 150}))[0]) == 300


def test_a_device_that_is_not_there_is_refused_at_once(call, monkeypatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BadInput, match="no CUDA device"):
        call(tokenizer={"device": "cuda"})


def test_column_names_are_parameters(call) -> None:
    with pytest.raises(BadInput, match="column 'vector' is missing"):
        call(vector_column="vector")
    with pytest.raises(BadInput, match="column 'key' is missing"):
        call(id_column="key")


def test_dropping_is_a_parameter(call) -> None:
    vectors = [[1.0, float(i)] for i in range(300)]
    vectors[7] = None
    stream, rejected = call(vectors=vectors, on_invalid="drop")
    assert (len(stream), rejected["row"].to_pylist()) == (299, [7])
    with pytest.raises(BadInput, match="item id 7: the vector is null"):
        list(call(vectors=vectors)[0].batches())


def test_zero_vectors_are_invalid_where_normalised(call) -> None:
    vectors = [[float(i), 0.0] for i in range(300)]
    list(call(vectors=vectors)[0].batches())
    preprocess = {
        "normalize": True,
        "center": False,
        "scale": False,
        "dimensions": None,
        "whiten": 0.0,
    }
    with pytest.raises(BadInput, match="item id 0: the vector is zero"):
        list(call(vectors=vectors, tokenizer={"preprocess": preprocess})[0].batches())


def test_sizes_are_checked_before_anything_is_read(call) -> None:
    sizes = {"codebook_sizes": [16, 16]}
    with pytest.raises(
        BadInput, match=r"16x16 make 256 codes for 300 items.*tokenizer\.codebook_sizes=25x25"
    ):
        call(tokenizer=sizes)
    assert len(call(tokenizer=sizes, identify={"strategy": "suffix"})[0]) == 300
    assert len(call(tokenizer=sizes, max_items=256)[0]) == 256
    with pytest.raises(BadInput, match="200 items are fewer than the 256 codes"):
        call(n=200)
    with pytest.raises(BadInput, match="63"):
        call(tokenizer={"codebook_sizes": [256] * 8})


@pytest.mark.parametrize(
    ("first", "reason"),
    [(None, "the vector is null"), ([1.0, 2.0], "2 dimensions instead of 4"), ([], "empty")],
)
def test_a_bad_first_row_is_the_one_that_is_blamed(call, tmp_path, first, reason) -> None:
    rows = [first, *np.random.default_rng(0).normal(size=(299, 4)).tolist()]
    stream, _ = call(vectors=rows)
    assert stream.dim == 4
    with pytest.raises(BadInput, match=reason) as caught:
        list(stream.batches())
    assert "item 0" in str(caught.value) or "id 0" in str(caught.value)
