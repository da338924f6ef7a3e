"""An input that nobody reads in a run is not loaded; one that somebody reads is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog, MemoryDataset

from semantic_ids.app.hooks.unread import UNREAD, leave_unread
from semantic_ids.pipeline_registry import register_pipelines


@pytest.mark.parametrize(
    ("stages", "wanted", "loaded"),
    [
        (["export"], set(), None),
        (["export"], {"faiss"}, "the tokenizer"),
        (["export"], {"onnx"}, "the tokenizer"),
        (["export"], {"faiss", "onnx"}, "the tokenizer"),
        (["identify", "export"], set(), "the tokenizer"),
        (["train", "export"], set(), "the tokenizer"),
        (["sample"], set(), "the tokenizer"),
    ],
)
def test_a_tokenizer_is_loaded_where_it_is_read(stages, wanted, loaded) -> None:
    catalog = DataCatalog({"tokenizer": MemoryDataset("the tokenizer")})
    built = register_pipelines()
    pipeline = sum((built[stage] for stage in stages[1:]), built[stages[0]])
    export = SimpleNamespace(faiss="faiss" in wanted, onnx="onnx" in wanted)
    leave_unread(SimpleNamespace(export=export), pipeline, catalog)
    assert catalog.load("tokenizer") == loaded


def test_every_input_that_may_be_left_out_is_one_of_its_node() -> None:
    pipelines = register_pipelines()
    nodes = [*pipelines["tokenize"].nodes, *pipelines["recommend"].nodes]
    inputs = {node.name: node.inputs for node in nodes}
    assert all(dataset in inputs[name] for dataset, nodes in UNREAD.items() for name in nodes)


@pytest.mark.parametrize("node", ["export_faiss", "export_onnx"])
def test_a_node_alone_is_asked_alone(node) -> None:
    pipeline = register_pipelines()["export"].only_nodes(node)
    for wanted in (True, False):
        catalog = DataCatalog({"tokenizer": MemoryDataset("the tokenizer")})
        name = node.removeprefix("export_")
        export = SimpleNamespace(**{"faiss": not wanted, "onnx": not wanted, name: wanted})
        leave_unread(SimpleNamespace(export=export), pipeline, catalog)
        assert catalog.load("tokenizer") == ("the tokenizer" if wanted else None)
