"""The node `train`: what it hands to the tokenizer, and what it writes down."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import clustered

from semantic_ids.artifacts import Embeddings, Provenance, Split
from semantic_ids.datasets.table import made_from
from semantic_ids.errors import BadInput
from semantic_ids.hashing import vector_hash
from semantic_ids.parameters import IdentifyParameters, TokenizerParameters
from semantic_ids.pipelines.train import nodes

VECTORS = clustered(600, 8)
BASE = {
    "kind": "rq_kmeans",
    "codebook_sizes": [6, 6],
    "seed": 1,
    "device": "cpu",
    "fit_on": "all",
    "preprocess": {"normalize": False, "center": True, "scale": True},
    "rq_kmeans": {"iterations": 4, "restarts": 1, "max_points_per_centroid": 256, "threads": 1},
    "rq_vae": {
        "hidden": [16],
        "latent": 4,
        "activation": "relu",
        "epochs": 3,
        "batch_rows": 100,
        "learning_rate": 0.01,
        "weight_decay": 0.0,
        "warmup_epochs": 1,
        "clip": 1.0,
        "commitment": 0.25,
        "decay": 0.9,
        "init_rows": 200,
        "reset_below": 0.1,
        "patience": 5,
    },
}


def train(embeddings, split, tokenizer, strategy="none"):
    return nodes.train(embeddings, split, tokenizer, IdentifyParameters(strategy=strategy, candidates=4))


def parameters(**changes):
    return TokenizerParameters.model_validate({**BASE, **changes})


@pytest.fixture
def embeddings():
    return Embeddings(VECTORS, pa.array(np.arange(600)), vector_hash(VECTORS), 0, Provenance("embeddings", content="x"))


@pytest.fixture
def split(embeddings):
    validation = np.arange(600) % 5 == 0
    return Split(validation, validation, embeddings.item_ids, Provenance("split", {"embeddings": embeddings.provenance.fingerprint}))


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_it_returns_a_tokenizer_its_history_and_its_results(embeddings, split, kind):
    tokenizer, history, results = train(embeddings, split, parameters(kind=kind))
    assert tokenizer.kind == kind and tokenizer.encode(VECTORS).shape == (600, 2)
    assert tokenizer.provenance.inputs == {"embeddings": embeddings.provenance.fingerprint, "split": split.provenance.fingerprint}
    assert history.num_rows == (8 if kind == "rq_kmeans" else 3)
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert (results["items"], results["capacity"], results["training"]["rows"]) == (600, 36, 600)
    assert results["bits"] == pytest.approx(2 * np.log2(6)) and results["training"]["seconds"] > 0


@pytest.mark.parametrize("kind", ["rq_kmeans", "rq_vae"])
def test_only_fit_on_all_sees_the_items_held_out(embeddings, split, kind):
    """rq_vae chooses its best epoch by the items held out; here it has one epoch to choose from."""
    vae = {**BASE["rq_vae"], "epochs": 1}
    vectors = VECTORS.copy()
    vectors[split.validation] = 77
    spoilt = replace(embeddings, vectors=vectors)
    a = train(embeddings, split, parameters(kind=kind, fit_on="train", rq_vae=vae))[0]
    b = train(spoilt, split, parameters(kind=kind, fit_on="train", rq_vae=vae))[0]
    np.testing.assert_array_equal(a.encode(VECTORS), b.encode(VECTORS))
    c = train(spoilt, split, parameters(kind=kind, fit_on="all", rq_vae=vae))[0]
    assert not np.array_equal(a.encode(VECTORS), c.encode(VECTORS))


def test_parameters_of_the_other_kind_do_not_change_where_it_comes_from(embeddings, split):
    other = {**BASE["rq_vae"], "epochs": 9}
    a, b = (train(embeddings, split, parameters(**change))[0].provenance for change in ({}, {"rq_vae": other}))
    assert a.fingerprint == b.fingerprint
    assert train(embeddings, split, parameters(seed=2))[0].provenance.fingerprint != a.fingerprint


def test_a_split_of_other_embeddings_is_refused(embeddings, split):
    other = replace(embeddings, provenance=Provenance("embeddings", content="y"))
    with pytest.raises(BadInput, match=r"two runs are mixed.*'sample' again"):
        train(other, split, parameters())


def test_zero_vectors_to_normalise_are_refused(embeddings, split):
    zeros = replace(embeddings, zero_rows=2)
    with pytest.raises(BadInput, match="2 zero vectors"):
        train(zeros, split, parameters(preprocess={"normalize": True, "center": True, "scale": True}))


def test_too_few_rows_to_train_on_are_refused(embeddings, split):
    with pytest.raises(BadInput, match="480 items are fewer than the 500 codes"):
        train(embeddings, split, parameters(codebook_sizes=[500, 2], fit_on="train"))


def test_too_few_codes_for_unique_ids_are_said_before_training(embeddings, split):
    with pytest.raises(BadInput, match="36 codes for 600 items"):
        train(embeddings, split, parameters(), strategy="reassign")
    assert train(embeddings, split, parameters(codebook_sizes=[25, 25]), strategy="reassign")[0]


def test_the_history_says_what_it_belongs_to(embeddings, split):
    tokenizer, history, _ = train(embeddings, split, parameters())
    assert made_from(history) == tokenizer.provenance
