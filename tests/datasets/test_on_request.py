"""What is written on request: it comes back, and that of other IDs does not stay."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import OnRequest, Provenance
from semantic_ids.datasets import (
    HfTokenizerDataset,
    ItemsByIdDataset,
    TrieDataset,
    VocabularyDataset,
)
from semantic_ids.errors import BadInput
from semantic_ids.publishing.inverse import ItemsById
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary

CODES = np.array([[1, 2], [0, 1]], dtype=np.int32)
VOCABULARY = Vocabulary.of((3, 3), 2, made_from="aa")
MADE = {
    VocabularyDataset: VOCABULARY,
    TrieDataset: Trie.build(CODES, (3, 3), made_from="aa"),
    HfTokenizerDataset: VOCABULARY,
    ItemsByIdDataset: ItemsById(pa.array([7, 8]), CODES, (3, 3), "aa"),
}


def on_request(made, ids="aa"):
    return OnRequest(made, Provenance("x", {"semantic_ids": ids}))


@pytest.fixture(params=MADE, ids=lambda kind: kind.__name__)
def dataset(request, tmp_path):
    return request.param(filepath=str(tmp_path / "07/artifact"))


def test_it_comes_back(dataset, tmp_path):
    dataset.save(on_request(MADE[type(dataset)]))
    found = dataset.load()
    if isinstance(found, Trie):
        assert found.contains(CODES).all()
    elif isinstance(found, pa.Table):
        assert found["items"].to_pylist() == [[8], [7]]
    elif isinstance(found, Vocabulary):
        assert found == VOCABULARY
    else:
        assert found("<a_1><b_2>").input_ids == [5, 9]
    assert [path.name for path in (tmp_path / "07").iterdir()] == ["artifact"]


def test_nothing_removes_that_of_other_ids_and_keeps_that_of_these(dataset):
    dataset.save(on_request(None))
    assert not dataset.exists()
    dataset.save(on_request(MADE[type(dataset)]))
    dataset.save(on_request(None))
    assert dataset.exists()
    dataset.save(on_request(None, ids="bb"))
    assert not dataset.exists()


def test_what_is_not_ours_stays(dataset, tmp_path):
    place = tmp_path / "07/artifact"
    place.parent.mkdir()
    place.write_text("mine")
    dataset.save(on_request(None, ids="bb"))
    assert place.read_text() == "mine"


def test_what_is_missing_is_said_in_one_line(dataset):
    with pytest.raises(Exception) as caught:
        dataset.load()
    error = caught.value if isinstance(caught.value, BadInput) else caught.value.__cause__
    assert "export." in str(error) and "=true asks for" in str(error) and error.make == "artifact"


def test_previews(tmp_path):
    vocabulary = VocabularyDataset(filepath=str(tmp_path / "vocabulary.json"))
    vocabulary.save(on_request(VOCABULARY))
    assert "tokens_per_level" in str(vocabulary.preview())
    items = ItemsByIdDataset(filepath=str(tmp_path / "items_by_id.parquet"))
    items.save(on_request(MADE[ItemsByIdDataset]))
    assert "<a_1><b_2>" in str(items.preview())
