from __future__ import annotations

import logging
from typing import get_type_hints

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Embeddings, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint, vector_hash
from semantic_ids.parameters import IdentifyParameters, TokenizerParameters
from semantic_ids.pipelines.identify.nodes import deduplicate, encode, report_duplicates


class ScalarTokenizer:
    """One level: the code of a number is its nearest integer."""

    def __init__(self, size, provenance):
        self.codebook_sizes, self.provenance, self.device = (size,), provenance, None
        self.encoded = []

    def to(self, device):
        self.device = device
        return self

    def encode(self, vectors, progress=None):
        self.encoded.append(len(vectors))
        return self.level_costs(vectors, None).argmin(1).astype(np.int32)[:, None]

    def distortion(self, vectors, codes):
        return ((vectors - codes) ** 2).sum(1).astype(np.float32)

    def level_costs(self, vectors, prefixes):
        return (vectors - np.arange(self.codebook_sizes[0], dtype=np.float32)) ** 2


@pytest.fixture
def embeddings():
    vectors = np.random.default_rng(0).uniform(0, 9, (20_000, 1)).astype(np.float32)
    ids = pa.array([f"item {i}" for i in range(20_000)])
    return Embeddings(
        vectors, ids, np.zeros(20_000, np.uint64), 0, Provenance("embeddings", content="a")
    )


@pytest.fixture
def few(embeddings):
    return Embeddings(
        embeddings.vectors[:8],
        embeddings.item_ids[:8],
        embeddings.vector_hashes[:8],
        0,
        embeddings.provenance,
    )


def tokenizer_of(embeddings, size=10):
    return ScalarTokenizer(
        size,
        Provenance(
            "tokenizer", inputs={"embeddings": embeddings.provenance.fingerprint, "split": "s"}
        ),
    )


PARAMETERS = TokenizerParameters.model_construct(kind="rq_kmeans", device="cpu")


def identify(strategy):
    return IdentifyParameters(strategy=strategy, candidates=4)


def test_encode_gives_the_codes_of_every_item(embeddings):
    tokenizer = tokenizer_of(embeddings)
    codes = encode(embeddings, tokenizer, PARAMETERS)
    assert codes.codes.dtype == np.int32
    assert tokenizer.encoded == [len(embeddings)]  # at once: a GPU's queue never runs empty
    np.testing.assert_array_equal(codes.codes, np.rint(embeddings.vectors).astype(np.int32))
    assert (codes.sizes, codes.levels, tokenizer.device) == ((10,), 1, "cpu")
    assert codes.item_ids.equals(embeddings.item_ids)
    expected = {
        "embeddings": embeddings.provenance.fingerprint,
        "tokenizer": tokenizer.provenance.fingerprint,
    }
    assert codes.provenance == Provenance("codes", expected, content=fingerprint(codes.codes))


@pytest.mark.parametrize(
    ("strategy", "unique", "width"),
    [("reassign", True, 1), ("suffix", True, 2), ("none", False, 1)],
)
def test_deduplicate(few, caplog, strategy, unique, width):
    vectors = np.zeros_like(few.vectors) + 2.2
    few = Embeddings(vectors, few.item_ids, vector_hash(vectors), 0, few.provenance)
    tokenizer = tokenizer_of(few, size=8)
    codes = encode(few, tokenizer, PARAMETERS)
    with caplog.at_level(logging.INFO):
        ids = deduplicate(few, tokenizer, codes, PARAMETERS, identify(strategy))
    assert ids.codes.shape == (8, width)
    assert (len(np.unique(ids.codes, axis=0)) == 8) == unique
    assert ids.levels == 1
    assert ids.provenance.parameters == {"strategy": strategy, "candidates": 4}
    assert ids.provenance.inputs == {
        **codes.provenance.inputs,
        "codes": codes.provenance.fingerprint,
    }
    assert len(caplog.records) == (1 if strategy == "none" else 2)
    assert (
        "8 items (100.00 %) have a vector that another item has too" in caplog.records[0].message
    ) == unique
    assert f"de-duplication ({strategy}): 8 items" in caplog.text
    if strategy == "reassign":
        assert ids.codes[:, 0].tolist() == [2, 3, 1, 4, 0, 5, 6, 7]  # in the order of cost, by row
        assert "87.50 % moved, 0.00 % to another prefix, 0.00 % with a suffix" in caplog.text


@pytest.mark.parametrize(
    ("room", "warned"),
    [
        (None, ""),
        (14, ""),
        (13, "codes (13), so at least 1 items"),
        (2, "codes (2), so at least 14 items"),
    ],
)
def test_equal_vectors_are_reported(embeddings, caplog, room, warned):
    vectors = np.arange(2500, dtype=np.float32)[:, None].copy()
    vectors[100:114], vectors[7], vectors[9], vectors[11], vectors[0] = (
        4.2,
        vectors[6],
        5.5,
        5.5,
        -0.0,
    )
    vectors[500:503] = 0.0
    crowded = Embeddings(
        vectors, embeddings.item_ids[:2500], vector_hash(vectors), 0, embeddings.provenance
    )
    with caplog.at_level(logging.INFO):
        report_duplicates(crowded, room)
    first, *more = [(record.levelname, record.message) for record in caplog.records]
    assert first[0] == "INFO" and first[1].startswith(
        "duplicates: 22 items (0.88 %) have a vector that another item has too"
    )
    assert (
        "(groups: 4, items of the largest: 14)" in first[1]
        and "in the order of the item hash" in first[1]
    )
    assert [level for level, _ in more] == ["WARNING"] * bool(warned)
    assert all(warned in message for _, message in more)


def test_that_all_vectors_differ_is_reported_too(embeddings, caplog):
    vectors = np.arange(50, dtype=np.float32)[:, None]
    with caplog.at_level(logging.INFO):
        report_duplicates(
            Embeddings(
                vectors, embeddings.item_ids[:50], vector_hash(vectors), 0, embeddings.provenance
            ),
            1,
        )
    assert [record.message for record in caplog.records] == [
        "duplicates: no two items have the very same vector"
    ]


def test_too_few_codes_are_refused_for_reassign_alone(embeddings):
    tokenizer = tokenizer_of(embeddings)
    codes = encode(embeddings, tokenizer, PARAMETERS)
    with pytest.raises(BadInput, match="cannot all be unique"):
        deduplicate(embeddings, tokenizer, codes, PARAMETERS, identify("reassign"))
    assert (
        len(
            np.unique(
                deduplicate(embeddings, tokenizer, codes, PARAMETERS, identify("suffix")).codes,
                axis=0,
            )
        )
        == 20_000
    )


def test_artifacts_of_two_runs_are_refused(few):
    other = Embeddings(
        few.vectors, few.item_ids, few.vector_hashes, 0, Provenance("embeddings", content="b")
    )
    tokenizer = tokenizer_of(few, size=8)
    codes = encode(few, tokenizer, PARAMETERS)
    retrained = ScalarTokenizer(
        8, Provenance("tokenizer", inputs=tokenizer.provenance.inputs, content="another")
    )
    with pytest.raises(BadInput, match="make 'tokenizer' again"):
        encode(other, tokenizer, PARAMETERS)
    with pytest.raises(BadInput, match="make 'tokenizer' again"):
        encode(few, ScalarTokenizer(8, None), PARAMETERS)
    with pytest.raises(BadInput, match="make 'codes' again"):
        deduplicate(few, retrained, codes, PARAMETERS, identify("suffix"))


def test_types_of_the_nodes_resolve():
    assert get_type_hints(deduplicate)["identify"] is IdentifyParameters
    assert get_type_hints(encode)["tokenizer_parameters"] is TokenizerParameters


def test_fewer_items_than_codes_get_ids(few):
    """New items, say, of a tokenizer that was fitted on many."""
    tokenizer = tokenizer_of(few, size=50)
    codes = encode(few, tokenizer, PARAMETERS)
    found = deduplicate(few, tokenizer, codes, PARAMETERS, identify("reassign")).codes
    assert len(np.unique(found, axis=0)) == len(few) == 8
