"""What a run needs of FAISS and of ONNX is asked for before it begins."""

from __future__ import annotations

import copy

import pytest
from tests.test_docs import table_script

from semantic_ids import extras
from semantic_ids.app.hooks.libraries import require_faiss_if_wanted, require_onnx_if_wanted
from semantic_ids.compute import faiss_library
from semantic_ids.errors import BadInput
from semantic_ids.parameters import Parameters

NODES = {"train", "export", "export_faiss", "export_onnx"}


def parameters(**changed) -> Parameters:
    """Those of conf/base but for dotted names, with `__` for the dots."""
    values = copy.deepcopy(table_script().base_values())
    for name, value in changed.items():
        *groups, last = name.split("__")
        target = values
        for group in groups:
            target = target[group]
        target[last] = value
    return Parameters.model_validate(values)


@pytest.fixture
def no_faiss(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "faiss" else name)
    monkeypatch.setattr(faiss_library, "installed", lambda: [])


def test_nothing_is_asked_of_a_run_that_does_not_want_it(no_faiss):
    require_faiss_if_wanted(parameters(), NODES)
    require_faiss_if_wanted(parameters(export__faiss=True), {"ingest", "export"})


def test_an_index_needs_it(no_faiss):
    with pytest.raises(BadInput, match=r"export.faiss: 'faiss' is not installed"):
        require_faiss_if_wanted(parameters(export__faiss=True), NODES)


def test_an_index_of_a_network_is_refused():
    wanted = parameters(export__faiss=True, tokenizer__kind="rq_vae")
    with pytest.raises(BadInput, match="a tokenizer of kind rq_vae decodes by a network"):
        require_faiss_if_wanted(wanted, NODES)
    require_faiss_if_wanted(wanted, {"train"})


FAISS = {"tokenizer__rq_kmeans__engine": "faiss"}


@pytest.mark.parametrize(
    ("changed", "nodes"),
    [
        (FAISS, {"train"}),
        (FAISS | {"tokenizer__kind": "rq_vae"}, {"train"}),
        (FAISS | {"evaluate__twin": True}, {"evaluate"}),
    ],
)
def test_a_fit_whose_engine_it_is_needs_it(no_faiss, changed, nodes):
    with pytest.raises(BadInput, match=r"tokenizer.rq_kmeans.engine: 'faiss' is not installed"):
        require_faiss_if_wanted(parameters(**changed), nodes)


@pytest.mark.parametrize(
    ("changed", "nodes"),
    [
        (FAISS, {"encode", "evaluate"}),
        (
            FAISS | {"tokenizer__kind": "rq_vae", "tokenizer__rq_vae__codebook__init": "kmeans"},
            {"train"},
        ),
    ],
)
def test_what_does_not_fit_with_it_does_not(no_faiss, changed, nodes):
    require_faiss_if_wanted(parameters(**changed), nodes)


def test_it_is_said_before_anything_is_written(no_faiss, run, tmp_path):
    with pytest.raises(BadInput, match="'faiss' is not installed"):
        run("tokenize", params={"tokenizer.rq_kmeans.engine": "faiss"})
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("module", ["scipy", "matplotlib"])
def test_a_module_of_a_later_stage_is_asked_for_before_anything_is_written(
    monkeypatch, run, tmp_path, module
):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else name)
    with pytest.raises(BadInput, match=rf"'{module}' is not installed.*semantic-ids\[pipeline\]"):
        run("tokenize")
    assert not (tmp_path / "data").exists()


@pytest.fixture
def no_onnx(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnx" else name)


def test_graphs_need_the_packages_that_write_them(no_onnx):
    require_onnx_if_wanted(parameters(), NODES)
    require_onnx_if_wanted(parameters(export__onnx=True), {"train", "export"})
    with pytest.raises(
        BadInput, match=r"export.onnx: 'onnx' is not installed.*semantic-ids\[onnx\]"
    ):
        require_onnx_if_wanted(parameters(export__onnx=True), NODES)


def test_that_too_is_said_before_anything_is_written(no_onnx, run, tmp_path):
    with pytest.raises(BadInput, match="'onnx' is not installed"):
        run("tokenize", params={"export.onnx": True})
    assert not (tmp_path / "data").exists()
