from __future__ import annotations

import json
import logging
from dataclasses import asdict
from types import SimpleNamespace
from typing import get_type_hints

import faiss
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError

from semantic_ids import Trie, Vocabulary, load_tokenizer
from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.export.mappings import Mappings
from semantic_ids.export.options import ExportOptions
from semantic_ids.export.tokens import token_strings
from semantic_ids.parameters import ExportParameters
from semantic_ids.pipelines.export.nodes import export, export_faiss, export_language, export_onnx


def wanted(**changes):
    return ExportParameters(**asdict(ExportOptions()) | changes)


def test_export_pairs_ids_with_codes():
    ids = Codes(
        pa.array(["x", "y"]),
        np.array([[1, 2, 0], [1, 2, 1]], dtype=np.int32),
        (4, 4, 2),
        2,
        Provenance("semantic_ids"),
    )
    made = export(ids)
    assert json.loads("".join(made.lines())) == {"x": [1, 2, 0], "y": [1, 2, 1]}
    assert made.provenance == Provenance(
        "semantic_id_mappings", {"semantic_ids": ids.provenance.fingerprint}
    )


def test_types_of_the_node_resolve():
    assert get_type_hints(export) == {"semantic_ids": Codes, "return": Mappings}


def test_no_index_where_none_is_wanted_and_types_resolve():
    ids = Codes(pa.array([1]), np.zeros((1, 2), np.int32), (4, 4), 2, Provenance("semantic_ids"))
    made = export_faiss(ids, None, wanted())
    assert made.index is None and set(made.provenance.inputs) == {"semantic_ids", "tokenizer"}
    assert get_type_hints(export_faiss)["export"] is ExportParameters


def test_an_index_of_ids_and_a_tokenizer_of_two_runs_is_refused():
    ids = Codes(pa.array([1]), np.zeros((1, 2), np.int32), (4, 4), 2, Provenance("semantic_ids"))
    tokenizer = SimpleNamespace(provenance=Provenance("tokenizer", content="x"))
    with pytest.raises(BadInput, match="artifacts of two runs are mixed"):
        export_faiss(ids, tokenizer, wanted(faiss=True))


def test_the_tokenizer_is_not_looked_at_where_no_index_is_wanted(run, tmp_path):
    run("tokenize")
    tokenizer, mappings = (
        tmp_path / "data" / name
        for name in ("06_models/tokenizer", "07_model_output/semantic_id_mappings.json")
    )
    written = mappings.read_bytes()
    mappings.unlink()
    tokenizer.rename(tmp_path / "elsewhere")
    run("export")
    assert mappings.read_bytes() == written
    with pytest.raises(DatasetError, match="there is no such artifact yet"):
        run("export", params={"export.faiss": True})
    tokenizer.mkdir()  # not even opened
    run("export")
    (tmp_path / "elsewhere").rename(tokenizer)
    run("export", params={"export.faiss": True})
    assert (tmp_path / "data/07_model_output/semantic_ids.faiss").exists()


def test_the_pipeline_writes_an_index_that_faiss_searches(run, tmp_path):
    run("tokenize", params={"export.faiss": True, "identify.strategy": "none"})
    index = faiss.read_index(str(tmp_path / "data/07_model_output/semantic_ids.faiss"))
    table = pq.read_table(tmp_path / "data/07_model_output/semantic_ids.parquet")
    codes = np.array(table["codes"].to_pylist())
    tokenizer = load_tokenizer(tmp_path / "data/06_models/tokenizer", device="cpu")
    decoded = tokenizer.decode(codes)
    distances, found = index.search(decoded[:50], 1)
    assert index.ntotal == len(codes) and np.abs(distances).max() < 1e-3
    row_of = {item: row for row, item in enumerate(table["item_id"].to_pylist())}
    np.testing.assert_array_equal(codes[[row_of[item] for item in found[:, 0]]], codes[:50])


def test_no_graphs_where_none_are_wanted_and_types_resolve():
    assert export_onnx(None, wanted(faiss=True)) == {}
    assert export_onnx(SimpleNamespace(), wanted(faiss=True)) == {}
    assert get_type_hints(export_onnx)["export"] is ExportParameters


def graph_files(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.onnx")}


@pytest.mark.slow
def test_the_pipeline_writes_graphs_that_give_its_codes_and_go_with_their_tokenizer(run, tmp_path):
    run("tokenize", params={"export.onnx": True})
    data = tmp_path / "data"
    vectors = np.load(data / "03_primary/embeddings/vectors.npy").astype(np.float32)
    folder = data / "06_models/tokenizer"
    written = graph_files(folder)
    assert set(written) == {"encoder.onnx", "decoder.onnx"}
    encoder, decoder = (
        onnxruntime.InferenceSession(written[name]) for name in ("encoder.onnx", "decoder.onnx")
    )
    (codes,) = encoder.run(["codes"], {"vectors": vectors})
    expected = pq.read_table(data / "07_model_output/codes.parquet")["codes"].to_pylist()
    np.testing.assert_array_equal(codes, expected)
    (decoded,) = decoder.run(["vectors"], {"codes": codes})
    np.testing.assert_allclose(decoded, load_tokenizer(folder).decode(codes), atol=1e-6, rtol=0)
    run("export")  # off: those of this tokenizer stay
    assert graph_files(folder) == written
    run("export", params={"export.onnx": True})  # on again: the same bytes
    assert graph_files(folder) == written
    run("train", params={"tokenizer.seed": 7})
    assert graph_files(folder) == {}
    (folder / "encoder.onnx").write_bytes(written["encoder.onnx"])
    run(node_names=["export_onnx"])
    assert graph_files(folder) == {}


LANGUAGE = ("vocabulary", "trie", "hf_tokenizer", "items_by_id")
SUFFIXED = Codes(
    pa.array(["x", "y", "z"]),
    np.array([[1, 2, 0], [1, 2, 1], [3, 0, 0]], dtype=np.int32),
    (4, 4, 2),
    2,
    Provenance("semantic_ids", content="a1"),
)


def test_nothing_for_language_models_where_nothing_is_wanted_and_types_resolve():
    made = export_language(SUFFIXED, wanted())
    assert [part.made for part in made] == [None] * 4
    assert [part.provenance for part in made] == [None] * 4
    assert [part.request for part in made] == [
        Provenance(name, {"semantic_ids": SUFFIXED.provenance.fingerprint}) for name in LANGUAGE
    ]
    assert get_type_hints(export_language)["export"] is ExportParameters


def test_a_suffix_gets_room_and_room_without_a_suffix_is_said_to_have_no_effect(caplog):
    options = wanted(vocabulary=True, hf_tokenizer=True, trie=True, suffix_room=5)
    vocabulary, trie, hf_tokenizer, items = export_language(SUFFIXED, options)
    assert vocabulary.made == hf_tokenizer.made and items.made is None
    assert vocabulary.provenance == vocabulary.request and items.provenance is None
    assert vocabulary.made.sizes == (4, 4, 7) and vocabulary.made.suffix_level == 3
    assert trie.made.sizes == (4, 4, 2) and trie.made.count((1, 2)) == 2
    assert "no effect" not in caplog.text
    plain = Codes(SUFFIXED.item_ids, SUFFIXED.codes, SUFFIXED.sizes, 3, SUFFIXED.provenance)
    with caplog.at_level(logging.WARNING):
        vocabulary, *_ = export_language(plain, options)
    assert vocabulary.made.sizes == (4, 4, 2)
    assert "export.suffix_room has no effect" in caplog.text


@pytest.mark.slow
def test_the_pipeline_writes_what_language_models_read_and_removes_that_of_other_ids(run, tmp_path):
    on = {f"export.{name}": True for name in ("vocabulary", "trie", "hf_tokenizer", "inverse")}
    run("tokenize", params={**on, "identify.strategy": "none"})
    out = tmp_path / "data/07_model_output"
    table = pq.read_table(out / "semantic_ids.parquet")
    codes = np.array(table["codes"].to_pylist())
    trie, vocabulary = Trie.load(out), Vocabulary.load(out)
    assert trie.count() == len(codes) and trie.contains(codes).all()
    assert Vocabulary.load(out / "hf_tokenizer") == vocabulary
    assert vocabulary.write(codes[:9]) == table["semantic_id"].to_pylist()[:9]
    items = pq.read_table(out / "items_by_id.parquet")
    assert items["semantic_id"].to_pylist() == token_strings(trie.ids()).to_pylist()
    found = dict(zip(table["item_id"].to_pylist(), trie.walk(codes).tolist(), strict=True))
    for number, ids in enumerate(items["items"].to_pylist()):
        assert ids and {found[i] for i in ids} == {number}
    assert sum(map(len, items["items"].to_pylist())) == len(codes)
    there = ("vocabulary.json", "trie", "hf_tokenizer", "items_by_id.parquet")
    run("export")  # off: those of these IDs stay
    assert all((out / name).exists() for name in there)
    run("identify", params={"identify.strategy": "suffix"})
    run("export", params={"export.trie": True})
    assert [name for name in there if (out / name).exists()] == ["trie"]
    assert Trie.load(out).levels == trie.levels + 1
