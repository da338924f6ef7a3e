"""One system on one data set: the split, the figures, and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from benchmarks.data import DATA_SETS, HELD_OUT_SHARE, held_out
from benchmarks.measure import MOST_REPEATS, measure, timed
from benchmarks.rows import Row
from benchmarks.run import in_its_own_process
from benchmarks.systems import Unsupported

from semantic_ids.hashing import vector_hash


def test_every_system_sees_the_same_items(task, remembering, folder):
    first, second = remembering(quick=True), remembering(quick=True)
    for system in (first, second):
        assert measure(task, system).status == "measured"
    assert len(first.fitted_on) == 2
    for one, other in zip(first.fitted_on, second.fitted_on, strict=True):
        np.testing.assert_array_equal(one, other)
    stored = np.load(folder / "vectors.npy")
    np.testing.assert_array_equal(first.fitted_on[0], stored)
    np.testing.assert_array_equal(first.fitted_on[1], stored[~held_out(vector_hash(stored))])


def test_equal_vectors_are_on_one_side_and_a_tenth_is_held_out():
    vectors = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    out = held_out(vector_hash(np.concatenate([vectors, vectors])))
    np.testing.assert_array_equal(out[:4000], out[4000:])
    assert out.mean() == pytest.approx(HELD_OUT_SHARE, abs=0.02)


def test_figures_are_those_of_the_codes(task, remembering, folder):
    system, stored = remembering(quick=True), np.load(folder / "vectors.npy").astype(np.float64)
    row = measure(task, system)
    fitted = system.fit(stored.astype(np.float32), task.codebook_sizes, task.seed)
    codes = fitted.encode(stored)
    error = ((fitted.make_tokenizer().decode(codes) - stored) ** 2).sum()
    assert row.relative_mse == pytest.approx(
        error / ((stored - stored.mean(0)) ** 2).sum(), rel=1e-5
    )
    assert row.distinct == len(np.unique(codes, axis=0)) / len(stored)
    assert row.added_distortion == pytest.approx(row.relative_mse_unique / row.relative_mse - 1)
    assert (row.items, row.dim) == stored.shape and row.fits == 1
    assert row.items_per_second == pytest.approx(len(stored) / row.encode_seconds)
    assert row.relative_mse_held_out > 0 and row.relative_mse_fitted > 0
    assert Row(**json.loads(json.dumps(asdict(row)))) == row


def test_no_second_fit_where_none_is_wanted(task, remembering):
    system = remembering(quick=True)
    row = measure(replace(task, held_out=False), system)
    assert row.relative_mse_held_out is None and len(system.fitted_on) == 1


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unsupported("sizes"), "skipped", "sizes"),
        (RuntimeError("so\nso"), "failed", "RuntimeError: so"),
    ],
)
def test_what_goes_wrong_is_said(task, remembering, monkeypatch, error, status, reason):
    def fit(*_):
        raise error

    monkeypatch.setattr(remembering, "fit", fit)
    row = measure(task, remembering())
    assert (row.status, row.reason, row.relative_mse) == (status, reason, None)


def test_missing_is_skipped(task, remembering, monkeypatch):
    monkeypatch.setattr(remembering, "modules", ("no_such_module",))
    assert measure(task, remembering()).status == "skipped"


def test_cheap_work_is_repeated_and_long_work_is_not(monkeypatch):
    calls = []
    assert timed(lambda: calls.append(1) or 7)[0] == 7
    assert len(calls) == MOST_REPEATS
    monkeypatch.setattr("benchmarks.measure.CHEAP_SECONDS", 0)
    assert len(timed(lambda: None)[1]) == 1


def test_peak_is_that_of_the_process_alone(root):
    script = (
        "import numpy as np; from benchmarks.measure import peak_bytes; b = peak_bytes(); x ="
        " np.ones(10**7); print(b, peak_bytes())"
    )
    held = np.ones(5 * 10**7)  # the parent's 400 MB are none of the child's
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    before, after = map(float, done.stdout.split())
    assert before < held.nbytes and after > before + 0.9 * 8e7


@pytest.mark.slow
def test_in_a_process_of_its_own_and_within_the_time(task):
    task = replace(task, system="sklearn_kmeans", held_out=False)
    assert in_its_own_process(task, 1, 0.01).status == "stopped"
    assert in_its_own_process(task, 1, 120).status == "measured"


def test_data_that_is_not_there_is_named(tmp_path):
    absent = replace(
        DATA_SETS["beauty"], needs=DATA_SETS["beauty"].needs.with_name("absent.parquet")
    )
    assert absent.missing == "shared/data/amazon_beauty/absent.parquet is not there"
    assert not DATA_SETS["sample"].missing
