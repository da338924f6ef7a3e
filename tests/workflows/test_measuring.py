"""From vectors to metrics in one call, and that each part of it is what the parts give alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from semantic_ids import load_tokenizer
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import TokenizerCosts, deduplicate
from semantic_ids.metrics.reconstruction import relative_mse
from semantic_ids.tokenizers import fit_tokenizer
from semantic_ids.workflows.fitting import FitOptions, fit, held_out
from semantic_ids.workflows.measuring import fit_and_measure, measure, twin_error

SMALL = {"iterations": 1, "anneal_rounds": 3}
OPTIONS = FitOptions(codebook_sizes=(8, 8, 16), seed=1, device="cpu", options=SMALL, candidates=4)


@pytest.fixture(scope="module")
def validation(vectors):
    return held_out(vector_hash(vectors), 0.2)


@pytest.fixture(scope="module")
def measured(vectors, validation):
    return fit_and_measure(vectors, OPTIONS, validation=validation, twin=True, queries=50)


def test_the_parts_belong_together(measured, vectors):
    np.testing.assert_array_equal(measured.tokenizer.encode(vectors), measured.codes)
    costs = TokenizerCosts(measured.tokenizer, vectors)
    ids = deduplicate(measured.codes, costs, strategy="reassign", candidates=4)
    np.testing.assert_array_equal(measured.ids.codes, ids.codes)
    assert len(np.unique(measured.ids.codes, axis=0)) == len(vectors)


def test_metrics_are_of_these_codes_and_json(measured, vectors):
    json.dumps([measured.metrics, measured.figures], allow_nan=False)
    decoded = measured.tokenizer.decode(measured.codes).astype(np.float64)
    spread = ((vectors - vectors.mean(0, dtype=np.float64)) ** 2).sum()
    found = measured.metrics["reconstruction.relative_mse"]
    assert found == pytest.approx(((vectors - decoded) ** 2).sum() / spread, rel=1e-5)
    assert measured.metrics["items.count"] == 700 and measured.metrics["ids.unique_rate"] == 1
    distinct = len(np.unique(measured.codes, axis=0)) / 700
    assert measured.metrics["codes.unique_rate"] == pytest.approx(distinct)


def test_validation_is_of_a_twin_that_has_not_seen_the_items_held_out(
    measured, vectors, validation
):
    rows, held = np.flatnonzero(~validation), np.flatnonzero(validation)
    twin = fit_tokenizer(
        vectors,
        codebook_sizes=(8, 8, 16),
        seed=1,
        device="cpu",
        options=SMALL,
        rows=rows,
        assign=OPTIONS.assign,
    )
    expected = relative_mse(vectors, twin, held)
    assert measured.metrics["reconstruction.relative_mse_validation"] == expected
    assert twin_error(vectors, OPTIONS, validation) == expected


def test_what_is_given_is_measured_and_not_made_again(measured, vectors, monkeypatch):
    """As the stage `evaluate` and the benchmarks do: their codes may be any system's."""
    asked = {"validation": None, "queries": 50}
    again = measure(vectors, measured.tokenizer, OPTIONS, **asked)
    given = measure(vectors, measured.tokenizer, OPTIONS, codes=measured.codes, **asked)
    other = measured.codes.copy()
    other[:, 0] = 0
    monkeypatch.setattr(measured.tokenizer, "encode", lambda *_: pytest.fail("encoded again"))
    monkeypatch.setattr("semantic_ids.identifiers.deduplicate", lambda *_: pytest.fail("again"))
    ids = measured.ids
    known = measure(vectors, measured.tokenizer, OPTIONS, codes=measured.codes, ids=ids, **asked)
    assert again.metrics == given.metrics == known.metrics
    assert known.ids is ids and known.codes is measured.codes
    twinless = {**measured.metrics}
    del twinless["reconstruction.relative_mse_validation"]
    assert known.metrics == twinless
    found = measure(vectors, measured.tokenizer, OPTIONS, codes=other, ids=ids, **asked).metrics
    assert found["codes.perplexity.1"] == 1


def test_with_fit_on_train_the_tokenizer_itself_is_measured(vectors, validation):
    found = fit_and_measure(vectors, OPTIONS, validation=validation, fit_on="train", queries=50)
    expected = relative_mse(vectors, found.tokenizer, np.flatnonzero(validation))
    validated = found.metrics["reconstruction.relative_mse_validation"]
    assert validated == pytest.approx(expected, rel=1e-6)
    assert validated > found.metrics["reconstruction.relative_mse_fitted"]


def test_codebooks_are_refined_for_unique_ids_where_these_are_wanted(vectors, measured):
    plain = FitOptions(
        codebook_sizes=(8, 8, 16), seed=1, device="cpu", options=SMALL, strategy="suffix"
    )
    without = fit(vectors, plain)
    expected = fit_tokenizer(
        vectors, codebook_sizes=(8, 8, 16), seed=1, device="cpu", options=SMALL
    )
    np.testing.assert_array_equal(without.encode(vectors), expected.encode(vectors))
    assert "unique" in {row["phase"] for row in measured.tokenizer.history}
    assert "unique" not in {row["phase"] for row in without.history}


def test_the_share_held_out_is_that_of_the_vectors_and_equal_vectors_stay_together():
    x = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    x[10_000:] = x[:10_000]
    out = held_out(vector_hash(x), 0.1)
    np.testing.assert_array_equal(out[:10_000], out[10_000:])
    assert abs(out.mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / 10_000)
    assert not held_out(vector_hash(x), 0.0).any()


def test_a_zero_vector_is_held_out_no_more_often_than_any_other():
    """Its hash is 0, which is below any share."""
    zero = vector_hash(np.zeros((1, 4), dtype=np.float32))
    assert zero[0] == 0
    assert not held_out(zero, 0.3)[0]
    assert held_out(zero, 0.999)[0]


def test_the_error_of_items_fitted_on_is_that_of_the_very_items(
    vectors, validation, tmp_path, monkeypatch
):
    """A fit that takes a part of what it is given says how many, on disk too."""
    monkeypatch.setattr("semantic_ids.tokenizers.base.PREPROCESS_ROWS", 320)  # else of them all
    given = {**SMALL, "max_points_per_centroid": 20}  # 16 codes at most: 320 items
    part = replace(OPTIONS, options=given)
    found = fit_and_measure(vectors, part, validation=validation, fit_on="train", queries=50)
    rows = np.flatnonzero(~validation)[:320]
    expected = relative_mse(vectors, found.tokenizer, rows)
    assert found.metrics["reconstruction.relative_mse_fitted"] == pytest.approx(expected, rel=1e-6)
    assert found.tokenizer.fitted_rows == found.tokenizer.report["rows"] == 320
    found.tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.fitted_rows, loaded.content) == (320, found.tokenizer.content)
    unseen = np.flatnonzero(~validation)[320:]
    changed = vectors.copy()
    changed[unseen] += 9.0
    again = fit(changed, part, validation=validation, fit_on="train")
    np.testing.assert_array_equal(again.quantizer.codebooks[0], loaded.quantizer.codebooks[0])
