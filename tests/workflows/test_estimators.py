"""Tokenizers as estimators, and at home in scikit-learn."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
import warnings
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

import semantic_ids
from semantic_ids import RQVAE, BadInput, RQKMeans, evaluate, load_tokenizer, unique_ids
from semantic_ids.tokenizers import rq_kmeans
from semantic_ids.workflows.graphs import tokenizer_graphs
from tests.conftest import ROOT
from tests.grouped import grouped

QUICK = {"device": "cpu", "iterations": 1, "anneal_rounds": 3}
SIZES = (6, 5, 32)


@pytest.fixture(scope="module")
def tokenizer(vectors):
    return RQKMeans(SIZES, **QUICK).fit(vectors)


def test_every_option_of_the_kind_is_a_keyword_with_its_default():
    for cls in (RQKMeans, RQVAE):
        named = inspect.signature(cls).parameters
        options = cls.options_class()
        for option in fields(options):
            assert named[option.name].default == getattr(options, option.name)
        assert {"codebook_sizes", "random_state", "device", "preprocess"} < set(named)
        assert cls(device="cpu").get_params(deep=False) == {
            name: "cpu" if name == "device" else parameter.default
            for name, parameter in named.items()
        }


def test_help_says_what_each_option_means():
    text = " ".join(inspect.getdoc(RQKMeans).split())
    for option in fields(RQKMeans.options_class):
        assert f"{option.name} (" in text
        assert " ".join(option.metadata["meaning"].split()) in text


def test_options_reach_the_tokenizer_and_wrong_ones_are_refused():
    given = RQKMeans([4, 8], random_state=7, beam_size=2, preprocess={"normalize": True})
    assert (given.codebook_sizes, given.seed, given.beam_size) == ((4, 8), 7, 2)
    assert given.normalizes and given.options.beam_size == 2
    with pytest.raises(BadInput, match="RQKMeans: unknown option 'beam'; the nearest is 'beam_siz"):
        RQKMeans(beam=3)
    with pytest.raises(BadInput, match="validation_share: 1; expected at least 0 and below 1"):
        RQVAE(validation_share=1)
    for wrong in ({"strategy": "reasign"}, {"candidates": 0}, {"codebook_sizes": (4, 0)}):
        (name,) = wrong
        with pytest.raises(BadInput, match=f"{name}: '{name}' is "):
            RQKMeans(**wrong)
    for seed in (None, 1.5, True):
        with pytest.raises(BadInput, match="random_state"):
            RQKMeans(random_state=seed)


def test_parameters_are_got_and_set_also_those_in_groups(vectors):
    made = RQKMeans(SIZES, **QUICK).fit(vectors)
    assert made.set_params(beam_size=1, preprocess__normalize=True) is made
    assert made.get_params()["preprocess__normalize"] and made.beam_size == 1
    assert made.get_params(deep=False)["anneal_rounds"] == 3
    with pytest.raises(BadInput, match="not fitted"):
        made.encode(vectors)
    with pytest.raises(BadInput, match="unknown option 'beems'"):
        made.set_params(beems=3)
    vae = RQVAE(SIZES, device="cpu").set_params(network__hidden=[4], schedule__epochs=2)
    assert vae.get_params()["schedule__epochs"] == 2 and vae.options.network.hidden == (4,)
    vae.set_params(network__latent=3)
    assert (vae.options.network.hidden, vae.options.network.latent) == ((4,), 3)
    with pytest.raises(BadInput, match="unknown option 'epoch'; the nearest is 'epochs'"):
        vae.set_params(schedule__epoch=2)


def test_a_clone_has_the_parameters_and_nothing_that_was_learned(tokenizer, vectors):
    copy = clone(tokenizer)
    assert copy.get_params() == tokenizer.get_params() and not copy.dim
    np.testing.assert_array_equal(copy.fit(vectors).encode(vectors), tokenizer.encode(vectors))
    check_is_fitted(tokenizer)
    assert clone(RQVAE(SIZES, network={"hidden": [8]}, device="cpu")).get_params()[
        "network__hidden"
    ] == (8,)


def test_it_says_what_differs_from_the_defaults(tokenizer):
    assert repr(tokenizer) == (
        "RQKMeans(codebook_sizes=(6, 5, 32), device='cpu', iterations=1, anneal_rounds=3)"
    )
    assert repr(RQVAE([256, 256, 256], device="auto", preprocess={})) == "RQVAE()"


def test_a_step_of_a_pipeline(vectors, tokenizer):
    steps = make_pipeline(StandardScaler(with_std=False), RQKMeans(SIZES, **QUICK))
    codes = steps.fit_transform(vectors, np.arange(700) % 2)
    assert codes.shape == (700, 3) and codes.dtype == np.int32
    np.testing.assert_array_equal(steps.transform(vectors), codes)
    assert steps.inverse_transform(codes).shape == vectors.shape
    steps.set_params(rqkmeans__codebook_sizes=(30, 30), rqkmeans__preprocess__center=False)
    assert steps.fit(vectors).transform(vectors).shape == (700, 2)
    encoded = Pipeline([("ids", tokenizer), ("one", OneHotEncoder())]).fit_transform(vectors)
    assert encoded.shape[0] == 700
    assert tokenizer.get_feature_names_out().tolist() == ["code_1", "code_2", "code_3"]


def test_a_search_over_parameters(vectors):
    errors = {}
    for grid in ParameterGrid({"codebook_sizes": [(4, 4), (16, 16)]}):
        found = clone(RQKMeans(**QUICK)).set_params(strategy="none", **grid).fit(vectors)
        left = vectors - found.inverse_transform(found.transform(vectors))
        errors[grid["codebook_sizes"]] = float((left**2).sum())
    assert errors[16, 16] < errors[4, 4]


def test_too_few_codes_for_unique_ids_are_refused_before_any_work(vectors, monkeypatch):
    monkeypatch.setattr(RQKMeans, "_fit", lambda *_: pytest.fail("there was work before"))
    with pytest.raises(BadInput, match="cannot all be unique"):
        RQKMeans((4, 4), device="cpu").fit(vectors)


def test_the_same_vectors_in_another_holder_have_the_same_codes(tokenizer, vectors):
    codes = tokenizer.encode(vectors)
    for x in (torch.from_numpy(vectors), pd.Series(list(vectors)), vectors.astype(np.float64)):
        np.testing.assert_array_equal(tokenizer.encode(x), codes)


def test_one_vector_has_one_row_of_codes_and_one_row_decodes_to_one_vector(tokenizer, vectors):
    codes = tokenizer.encode(vectors)
    np.testing.assert_array_equal(tokenizer.encode(vectors[5]), codes[5])
    np.testing.assert_array_equal(tokenizer.decode(codes[5]), tokenizer.decode(codes)[5])
    np.testing.assert_array_equal(tokenizer.decode(codes[5, :1]), tokenizer.decode(codes[:, :1])[5])
    with pytest.raises(BadInput, match=r"expected \(m, 12\)"):
        tokenizer.encode(vectors[5, :4])


def test_with_ids_the_order_of_the_items_is_of_no_account(vectors):
    ids = [f"item {i}" for i in range(700)]
    order = np.random.default_rng(0).permutation(700)
    a = RQKMeans(SIZES, **QUICK).fit(vectors, item_ids=ids)
    b = RQKMeans(SIZES, **QUICK).fit(vectors[order], item_ids=[ids[i] for i in order])
    assert a.content == b.content
    found = unique_ids(a, vectors, ids)
    again = unique_ids(b, vectors[order], [ids[i] for i in order])
    assert found.to_dict() == again.to_dict() and found.item_ids == ids
    assert evaluate(a, vectors, found, queries=50) == evaluate(b, vectors[order], again, queries=50)


def test_unique_rounds_are_the_default_and_can_be_left_out(vectors, tokenizer):
    assert "unique" in {row["phase"] for row in tokenizer.history}
    plain = RQKMeans(SIZES, strategy="none", **QUICK).fit(vectors)
    expected = rq_kmeans.RQKMeans(
        SIZES, device="cpu", options={"iterations": 1, "anneal_rounds": 3}
    ).fit(vectors)
    np.testing.assert_array_equal(plain.encode(vectors), expected.encode(vectors))


def test_saved_and_loaded_it_is_the_same_estimator(tokenizer, vectors, tmp_path):
    tokenizer.save(tmp_path / "t")
    loaded = load_tokenizer(tmp_path / "t")
    assert type(loaded) is RQKMeans and repr(loaded) == repr(tokenizer)
    assert loaded.content == tokenizer.content
    np.testing.assert_array_equal(loaded.encode(vectors), tokenizer.encode(vectors))


def test_graphs_are_saved_beside_it_where_they_are_wanted(tokenizer, vectors, tmp_path):
    tokenizer.save(tmp_path / "t", onnx=True)
    for name, data in tokenizer_graphs(tokenizer).items():
        assert (tmp_path / "t" / f"{name}.onnx").read_bytes() == data
    assert np.array_equal(load_tokenizer(tmp_path / "t").encode(vectors), tokenizer.encode(vectors))
    tokenizer.save(tmp_path / "t")
    assert not list((tmp_path / "t").glob("*.onnx"))


def test_graphs_that_cannot_be_written_leave_what_is_there(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "semantic_ids.extras.find_spec", lambda name: None if name == "onnx" else name
    )
    with pytest.raises(BadInput, match="'onnx' is not installed"):
        tokenizer.save(tmp_path / "t", onnx=True)
    assert not (tmp_path / "t").exists()
    with pytest.raises(BadInput, match="is not fitted"):
        RQKMeans(codebook_sizes=(4, 8), device="cpu").save(tmp_path / "t", onnx=True)


def test_the_package_is_imported_without_torch_and_knows_its_names():
    code = (
        "import sys, semantic_ids; assert set(semantic_ids.__all__) <= set(dir(semantic_ids));"
        "heavy = {'torch', 'pandas', 'pyarrow', 'sklearn', 'scipy', 'kedro'};"
        "assert not heavy & set(sys.modules);"
        "semantic_ids.RQKMeans; assert not heavy - {'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(getattr(semantic_ids, name) for name in semantic_ids.__all__)
    with pytest.raises(AttributeError, match="RQKmeans"):
        semantic_ids.RQKmeans  # noqa: B018


def test_a_training_goes_on_from_its_checkpoints(vectors, tmp_path, caplog):
    """Epochs that were made are not made again; other vectors have checkpoints of their own."""
    few = {"hidden": [8], "epochs": 12, "unique_epochs": 0, "init": "kmeans"}
    options = {**grouped(few), "device": "cpu"}
    whole = RQVAE(SIZES, **options).fit(vectors, checkpoints=tmp_path)
    with caplog.at_level("INFO", "semantic_ids"):
        again = RQVAE(SIZES, **options).fit(vectors, checkpoints=tmp_path)
    assert "going on from the checkpoint of epoch 10" in caplog.text
    assert again.content == whole.content
    RQVAE(SIZES, **options).fit(vectors[1:], checkpoints=tmp_path)
    RQVAE(SIZES, **options | {"schedule": {"epochs": 11}}).fit(vectors, checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(BadInput, match="checkpoints: 'here'; expected none: only an RQVAE"):
        RQKMeans(SIZES, **QUICK).fit(vectors, checkpoints="here")


def test_the_package_says_that_it_is_typed():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "py.typed" in packaged["package-data"]["semantic_ids"]
    assert (ROOT / "src/semantic_ids/py.typed").is_file()


CHECKS = """
check_estimator_cloneable check_estimator_repr check_valid_tag_types check_estimator_tags_renamed
check_parameters_default_constructible check_get_params_invariance check_set_params
check_fit_score_takes_y check_estimators_overwrite_params check_estimators_fit_returns_self
check_dict_unchanged check_fit_idempotent check_fit_check_is_fitted check_n_features_in
check_pipeline_consistency check_transformer_general check_transformer_data_not_an_array
check_transformers_unfitted check_methods_sample_order_invariance check_readonly_memmap_input
check_methods_subset_invariance check_fit1d check_estimators_pickle
"""


@pytest.mark.parametrize("check", CHECKS.split())
def test_checks_of_scikit_learn(check):
    """Those left out ask for scikit-learn's own words, or refuse one vector alone."""
    small = RQKMeans((2, 3), device="cpu", anneal_rounds=1, strategy="none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(estimator_checks, check)("RQKMeans", small)
