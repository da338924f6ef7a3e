"""An index on disk: FAISS reads it, its ids and manifest are beside it, a stale one goes."""

from __future__ import annotations

import json

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.artifacts import Provenance
from semantic_ids.datasets import FaissIndexDataset
from semantic_ids.errors import BadInput
from semantic_ids.export.faiss_index import FaissIndex

MADE = Provenance("faiss_index", {"semantic_ids": "aa"})
OTHER = Provenance("faiss_index", {"semantic_ids": "bb"})


def flat(n=5):
    index = faiss.IndexFlatL2(3)
    index.add(np.eye(n, 3, dtype=np.float32))
    return index


@pytest.fixture
def dataset(tmp_path):
    return FaissIndexDataset(filepath=str(tmp_path / "semantic_ids.faiss"))


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_it_comes_back_with_ids_and_manifest(dataset, tmp_path):
    ids = pa.array(["a", "b", "c", "d", "e"])
    dataset.save(FaissIndex(flat(), ids, MADE))
    assert names(tmp_path) == [
        "semantic_ids.faiss",
        "semantic_ids.faiss.item_ids.parquet",
        "semantic_ids.faiss.manifest.json",
    ]
    assert dataset.load().ntotal == 5
    assert pq.read_table(dataset.item_ids)["item_id"].to_pylist() == ids.to_pylist()
    assert json.loads(dataset.manifest.read_text())["fingerprint"] == MADE.fingerprint


def test_ids_of_an_index_before_do_not_stay(dataset, tmp_path):
    dataset.save(FaissIndex(flat(2), pa.array(["a", "b"]), MADE))
    dataset.save(FaissIndex(flat(3), None, OTHER))
    assert not dataset.item_ids.exists() and dataset.load().ntotal == 3


def test_no_index_removes_one_of_other_ids_and_keeps_one_of_these(dataset, tmp_path):
    dataset.save(FaissIndex(None, None, MADE))
    assert names(tmp_path) == []
    dataset.save(FaissIndex(flat(2), pa.array(["a", "b"]), MADE))
    dataset.save(FaissIndex(None, None, MADE))
    assert dataset.load().ntotal == 2
    dataset.save(FaissIndex(None, None, OTHER))
    assert names(tmp_path) == []


def test_a_write_that_fails_leaves_the_index_before(dataset, monkeypatch):
    dataset.save(FaissIndex(flat(2), None, MADE))

    def fail(index, path):
        raise RuntimeError("disk")

    monkeypatch.setattr(faiss, "write_index", fail)
    with pytest.raises(Exception, match="disk"):
        dataset.save(FaissIndex(flat(3), None, OTHER))
    assert dataset.load().ntotal == 2
    assert json.loads(dataset.manifest.read_text())["fingerprint"] == MADE.fingerprint


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_missing_and_damaged_name_what_is_to_be_made(dataset, tmp_path, content):
    if content:
        (tmp_path / "semantic_ids.faiss").write_bytes(content)
    with pytest.raises(Exception) as caught:
        dataset.load()
    error = caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__
    assert isinstance(error, BadInput) and "which export.faiss=true asks for" in str(error)
    assert (error.remake if content else error.make) == "faiss_index"
