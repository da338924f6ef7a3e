"""An input that nobody reads in a run is not loaded; one that somebody reads is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset

from semantic_ids.app.hooks.unread import UNREAD, leave_unread
from semantic_ids.pipeline_registry import register_pipelines


@pytest.mark.parametrize(
    ("stages", "faiss", "loaded"),
    [
        (["export"], False, None),
        (["export"], True, "the tokenizer"),
        (["identify", "export"], False, "the tokenizer"),
        (["train", "export"], False, "the tokenizer"),
        (["sample"], False, "the tokenizer"),
    ],
)
def test_a_tokenizer_is_loaded_where_it_is_read(stages, faiss, loaded) -> None:
    catalog = DataCatalog({"tokenizer": MemoryDataset("the tokenizer")})
    built = register_pipelines()
    pipeline = sum((built[stage] for stage in stages[1:]), built[stages[0]])
    leave_unread(SimpleNamespace(export=SimpleNamespace(faiss=faiss)), pipeline, catalog)
    assert catalog.load("tokenizer") == loaded


def test_every_input_that_may_be_left_out_is_one_of_its_node() -> None:
    inputs = {node.name: node.inputs for node in register_pipelines()["tokenize"].nodes}
    assert all(dataset in inputs[name] for name, (dataset, _) in UNREAD.items())
