"""Graphs on disk: in the folder of their tokenizer, which they never outlive."""

from __future__ import annotations

import json

import pytest

from semantic_ids import atomic
from semantic_ids.artifacts import Provenance
from semantic_ids.datasets import OnnxGraphsDataset
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.format import MANIFEST_FILE

MADE, OTHER = (Provenance("tokenizer", content=content) for content in ("a1b2", "c3d4"))


def graphs(made: Provenance) -> dict[str, bytes]:
    """Stand-ins for graphs, with the content of their tokenizer in them."""
    return {name: f'\x08{name}\x12"{made.content}"'.encode() for name in ("encoder", "decoder")}


@pytest.fixture
def dataset(tmp_path):
    """Of the tokenizer `MADE`."""
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(MADE.to_json()))
    return OnnxGraphsDataset(filepath=str(tmp_path / "encoder.onnx"))


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


BOTH = ["decoder.onnx", "encoder.onnx", MANIFEST_FILE]


def test_they_come_back_and_nothing_else_is_there(dataset, tmp_path):
    dataset.save(graphs(MADE))
    assert dataset.load() == graphs(MADE) and names(tmp_path) == BOTH


def test_no_graphs_remove_those_of_another_tokenizer_and_keep_those_of_this(dataset, tmp_path):
    dataset.save({})
    assert names(tmp_path) == [MANIFEST_FILE]
    dataset.save(graphs(MADE))
    dataset.save({})
    assert dataset.load() == graphs(MADE)
    (tmp_path / "decoder.onnx").write_bytes(graphs(OTHER)["decoder"])
    dataset.save({})
    assert names(tmp_path) == ["encoder.onnx", MANIFEST_FILE]


@pytest.mark.parametrize("manifest", [None, "{", json.dumps(Provenance("tokenizer").to_json())])
def test_graphs_of_nobody_knows_what_stay(dataset, tmp_path, manifest):
    dataset.save(graphs(OTHER))
    (tmp_path / MANIFEST_FILE).unlink()
    if manifest is not None:
        (tmp_path / MANIFEST_FILE).write_text(manifest)
    dataset.save({})
    assert dataset.load() == graphs(OTHER)


def test_a_write_that_fails_leaves_the_graphs_before(dataset, monkeypatch):
    dataset.save(graphs(MADE))

    def fail(path):
        raise OSError("disk")

    monkeypatch.setattr(atomic, "_sync", fail)
    with pytest.raises(Exception, match="disk"):
        dataset.save(graphs(OTHER))
    assert dataset.load() == graphs(MADE)


@pytest.mark.parametrize("missing", ["encoder.onnx", "decoder.onnx"])
def test_one_graph_is_none(dataset, tmp_path, missing):
    dataset.save(graphs(MADE))
    (tmp_path / missing).unlink()
    assert not dataset.exists()
    with pytest.raises(Exception) as caught:
        dataset.load()
    error = caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__
    assert "which export.onnx=true asks for" in str(error) and error.make == "onnx_graphs"
