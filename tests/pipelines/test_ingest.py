from __future__ import annotations

import inspect
import typing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from semantic_ids.errors import BadInput
from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.parameters import IngestParameters
from semantic_ids.pipelines.ingest.nodes import ingest
from semantic_ids.pipelines.ingest.pipeline import create_pipeline

CONF = Path(__file__).parents[2] / "conf" / "base"


@pytest.fixture
def call(tmp_path: Path):
    """Ingest n items of 4 dimensions with the parameters of conf/base and some changes."""

    def _call(n: int = 300, vectors=None, nonzero=False, **changes):
        vectors = (
            np.random.default_rng(0).normal(size=(n, 4)).tolist() if vectors is None else vectors
        )
        pq.write_table(
            pa.table({"ItemID": range(len(vectors)), "embedding": vectors}), tmp_path / "a.parquet"
        )
        group = yaml.safe_load((CONF / "parameters_ingest.yml").read_text())["ingest"]
        return ingest(
            ParquetSource(str(tmp_path)), IngestParameters(**group | changes), nonzero=nonzero
        )

    return _call


def test_every_hint_resolves() -> None:
    hints = typing.get_type_hints(ingest)
    assert (hints["item_embeddings"], hints["ingest"], hints["nonzero"]) == (
        ParquetSource,
        IngestParameters,
        bool,
    )


def test_the_stage_knows_nothing_of_tokenizers() -> None:
    """Another pipeline says itself which vectors it can use."""
    (node,) = create_pipeline("params:align.normalize").nodes
    assert node.inputs == ["item_embeddings", "params:ingest", "params:align.normalize"]
    source = inspect.getsource(inspect.getmodule(ingest))
    assert not any(word in source for word in ("okenizer", "dentify", "valuate"))


def test_parameters_reach_the_stream(call) -> None:
    stream, rejected = call(dtype="float16", max_items=280)
    assert isinstance(stream, EmbeddingStream)
    assert (len(stream), stream.dim, stream.dtype, rejected.num_rows) == (280, 4, "float16", 0)


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


def test_zero_vectors_are_invalid_where_a_direction_is_needed(call) -> None:
    vectors = [[float(i), 0.0] for i in range(300)]
    list(call(vectors=vectors)[0].batches())
    with pytest.raises(BadInput, match="item id 0: the vector is zero"):
        list(call(vectors=vectors, nonzero=True)[0].batches())
    stream, rejected = call(vectors=vectors, nonzero=True, on_invalid="drop")
    assert (len(stream), rejected["row"].to_pylist()) == (299, [0])


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
