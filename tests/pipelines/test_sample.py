"""Who is held out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from semantic_ids.artifacts import Embeddings, Provenance
from semantic_ids.hashing import vector_hash
from semantic_ids.parameters import SampleParameters
from semantic_ids.pipelines.sample.nodes import split
from tests.conftest import clustered


def embeddings(vectors):
    return Embeddings(
        vectors,
        pa.array(np.arange(len(vectors))),
        vector_hash(vectors),
        0,
        Provenance("embeddings", content="x"),
    )


def sample(share=0.1, tuning=100):
    return SampleParameters(validation_share=share, tuning_items=tuning)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_about_the_share_asked_for_is_held_out(share):
    held = split(embeddings(clustered(5000, 8)), sample(share)).validation.mean()
    assert abs(held - share) < 4 * np.sqrt(share * (1 - share) / 5000) + 1e-9


def test_equal_vectors_are_on_one_side_even_with_a_negative_zero():
    x = clustered(400, 8)
    x[:, 0] = 0.0
    twins = x.copy()
    twins[:, 0] = -0.0
    validation = split(embeddings(np.concatenate([x, twins])), sample(0.5)).validation
    np.testing.assert_array_equal(validation[:400], validation[400:])
    assert 0 < validation.mean() < 1


def test_the_side_of_an_item_does_not_depend_on_the_others():
    x = clustered(1000, 8)
    np.testing.assert_array_equal(
        split(embeddings(x[:300]), sample()).validation,
        split(embeddings(x), sample()).validation[:300],
    )


@pytest.mark.parametrize(("tuning", "expected"), [(0, 0), (7, 7), (9999, 500)])
def test_the_tuning_subset_is_the_first_items(tuning, expected):
    marked = split(embeddings(clustered(500, 8)), sample(tuning=tuning)).tuning
    assert marked.sum() == expected and marked[:expected].all()


def test_it_says_what_it_was_made_from():
    e = embeddings(clustered(10, 3))
    made = split(e, sample()).provenance
    assert made.inputs == {"embeddings": e.provenance.fingerprint} and made.parameters == {
        "validation_share": 0.1,
        "tuning_items": 100,
    }
