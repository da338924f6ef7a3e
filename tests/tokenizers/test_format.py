"""The folder of a tokenizer: what is refused, and what is never half-written or overwritten."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from semantic_ids.artifacts import Provenance
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers import load_tokenizer
from semantic_ids.tokenizers.format import (
    CONFIG_FILE,
    FORMAT,
    GRAPH_FILES,
    MANIFEST_FILE,
    MODEL_FILE,
)
from semantic_ids.tokenizers.registry import tokenizer_class
from tests.tokenizers.conftest import KINDS, fitted


@pytest.fixture
def folder(vectors, tmp_path):
    fitted("rq_kmeans", vectors).save(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def changed(folder, **values):
    config = json.loads((folder / CONFIG_FILE).read_text()) | values
    (folder / CONFIG_FILE).write_text(json.dumps(config))


@pytest.mark.parametrize("found", [FORMAT + 1, None, "x"])
def test_another_format_is_one_clear_error(folder, found):
    changed(folder, format=found)
    with pytest.raises(BadInput, match=f"format {found}; expected format {FORMAT}; take the ver"):
        load_tokenizer(folder)


def test_a_format_before_groups_is_refused(folder):
    changed(folder, format=1)
    with pytest.raises(BadInput, match="format 1; expected format 2; train it again"):
        load_tokenizer(folder)


def test_a_kind_that_is_not_known_names_those_that_are(folder):
    changed(folder, kind="opq")
    with pytest.raises(BadInput, match=r"'opq' is no kind of tokenizer.*rq_kmeans or rq_vae"):
        load_tokenizer(folder)


@pytest.mark.parametrize("name", ["codebook.2", "preprocess.mean"])
def test_tensors_that_do_not_fit_the_configuration_are_refused(folder, name):
    tensors = load_file(folder / MODEL_FILE)
    save_file(tensors | {name: tensors[name][:-1].contiguous()}, folder / MODEL_FILE)
    with pytest.raises(BadInput, match=f"'{name}' has"):
        load_tokenizer(folder)
    del tensors[name]
    save_file(tensors, folder / MODEL_FILE)
    with pytest.raises(BadInput, match=f"'{name}' is missing"):
        load_tokenizer(folder)


def test_a_folder_with_other_files_is_not_replaced(vectors, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match=r"other files, such as 'thesis\.txt'"):
        fitted("rq_kmeans", vectors).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_older_tokenizer_is_replaced_whole(folder, vectors):
    (folder / MANIFEST_FILE).write_text(json.dumps(Provenance("tokenizer").to_json()))
    other = fitted("rq_kmeans", vectors, sizes=(3, 4))
    other.save(folder)
    loaded = load_tokenizer(folder)
    assert loaded.codebook_sizes == (3, 4) and loaded.provenance is None
    assert [path.name for path in folder.parent.iterdir()] == ["tokenizer"]


def test_a_save_that_fails_leaves_the_older_one(folder, vectors, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("safetensors.torch.save_file", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fitted("rq_kmeans", vectors, sizes=(3, 4)).save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["tokenizer"]


def test_provenance_travels_along(vectors, tmp_path):
    tokenizer = fitted("rq_kmeans", vectors)
    tokenizer.provenance = Provenance("tokenizer", {"embeddings": "e"}, {"seed": 1})
    tokenizer.save(tmp_path / "t")
    assert load_tokenizer(tmp_path / "t").provenance == tokenizer.provenance


def test_it_stays_on_the_cpu_unless_told_otherwise(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert load_tokenizer(folder).device.type == "cpu"


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_not_fitted_says_what_to_do(kind, vectors, tmp_path):
    tokenizer, codes = tokenizer_class(kind)((4, 4), device="cpu"), np.zeros((1, 2), np.int32)
    for call in (
        lambda: tokenizer.encode(vectors),
        lambda: tokenizer.decode(codes),
        lambda: tokenizer.distortion(vectors[:1], codes),
        lambda: tokenizer.level_costs(vectors[:1], codes[:, :1]),
        lambda: tokenizer.candidates(vectors, 3),
        lambda: tokenizer.save(tmp_path / "t"),
    ):
        with pytest.raises(BadInput, match=r"not fitted; call `fit"):
            call()


def test_graphs_beside_it_go_with_it_and_so_does_what_a_killed_process_left_of_one(folder, vectors):
    for name in GRAPH_FILES.values():
        (folder / name).write_bytes(b"a graph of the older tokenizer")
    (folder / f".{GRAPH_FILES['encoder']}.{os.getpid()}.tmp").write_bytes(b"half a graph")
    fitted("rq_kmeans", vectors).save(folder)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, MODEL_FILE]


def test_a_graph_that_another_process_is_writing_is_not_taken_away(folder, vectors):
    half = folder / f".{GRAPH_FILES['encoder']}.{os.getppid()}.tmp"
    half.write_bytes(b"half a graph")
    with pytest.raises(BadInput, match="the folder holds other files"):
        fitted("rq_kmeans", vectors).save(folder)
    assert half.exists()
