"""The training of rq_vae: what it writes down, what it keeps, when it stops, what it refuses, and
that a killed one goes on as if nothing had been.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.grouped import grouped
from tests.tokenizers.conftest import OPTIONS, RESIDUAL, SIZES, fitted

from semantic_ids.arrays import map_rows
from semantic_ids.errors import BadInput
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import TokenizerCosts, unique_codes
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.monitoring import catalogue_row
from semantic_ids.tokenizers.rq_vae.networks import Network

ROWS, WATCHED = np.arange(600), np.arange(600, 700)
END_TO_END = RESIDUAL | {"encoder_rate": 0.5}
LOSSES = {
    "loss",
    "reconstruction",
    "commitment",
    "codebook",
    "learning_rate",
    "resets",
    "seconds",
    "items_per_second",
}
VALIDATION = {
    f"validation_{name}"
    for name in ("reconstruction", "commitment", "codebook", "relative_mse", "cosine")
}
OVER_ALL = {name.replace("validation", "watched") for name in VALIDATION}
"""What the same is called where some of the rows were trained on."""
CATALOGUE = {"unique_rate", "collision_rate"} | {
    f"{name}.{level}" for name in ("usage", "dead", "perplexity") for level in (1, 2, 3)
}


def vae(vectors, options=None, **more):
    return fitted("rq_vae", vectors, options=options, **more)


def relative_mse(tokenizer, x):
    decoded = tokenizer.decode(tokenizer.encode(x)).astype(np.float64)
    return ((x - decoded) ** 2).sum() / ((x - x.mean(0, dtype=np.float64)) ** 2).sum()


def prepared(tokenizer, x):
    return tokenizer.preprocessing.apply(torch.from_numpy(x)).numpy()


def weights(tokenizer):
    """All that was learnt: codebooks, encoder and decoder."""
    books = {f"codebook.{level}": book for level, book in enumerate(tokenizer.quantizer.codebooks)}
    return {
        name: tensor.detach().numpy() for name, tensor in (tokenizer._weights() | books).items()
    }


def assert_same(found, expected):
    """Bit for bit, and the same history but for the time it took."""
    a, b = weights(found), weights(expected)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name
    assert timeless(found.history) == timeless(expected.history)
    assert (
        found.report["best_epoch"] == expected.report["best_epoch"]
        and found.report["epochs"] == expected.report["epochs"]
    )


def assert_close(found, expected, tolerance):
    a, b = weights(found), weights(expected)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance, err_msg=name)


def timeless(history):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "items_per_second")}
        for row in history
    ]


@pytest.fixture(scope="module")
def trained(vectors):
    return vae(vectors, rows=ROWS, monitor_rows=WATCHED)


@pytest.fixture(scope="module")
def residual(vectors):
    return vae(vectors, END_TO_END, rows=ROWS, monitor_rows=WATCHED)


# ---- the history ---------------------------------------------------------------------------------


def test_the_history_has_a_row_an_epoch_with_all_columns(trained):
    assert [row["step"] for row in trained.history] == list(range(1, 13))
    for row in trained.history:
        expected = {"step", "phase"} | LOSSES | VALIDATION
        assert set(row) == (expected | CATALOGUE if row["step"] > 2 else expected)
        assert row["phase"] == ("train" if row["step"] > 2 else "plain")
    assert all(
        np.isfinite(value)
        for row in trained.history
        for name, value in row.items()
        if name != "phase"
    )


def test_with_codebooks_from_the_beginning_it_begins_with_the_network_before_any_step(residual):
    assert [row["step"] for row in residual.history] == list(range(5))
    assert set(residual.history[0]) == {"step", "phase"} | VALIDATION | CATALOGUE
    for row in residual.history[1:]:
        assert set(row) == {"step", "phase"} | LOSSES | VALIDATION | CATALOGUE


@pytest.mark.parametrize(
    ("quantizer", "counts"),
    [("ema", False), ("gradient", True), ("end_to_end", True), ("none", False)],
    ids=str,
)
def test_the_loss_is_the_reconstruction_and_what_else_counts_by_its_weight(
    vectors, quantizer, counts
):
    options = {"quantizer": quantizer, "commitment": 0.3, "codebook_weight": 0.7, "epochs": 4}
    for row in vae(vectors, options).history:
        assert row["loss"] == pytest.approx(
            row["reconstruction"] + 0.3 * row["commitment"] + 0.7 * counts * row["codebook"]
        )
        assert (
            (row["commitment"] > 0)
            == (row["codebook"] > 0)
            == (row["step"] > 2 and quantizer != "none")
        )


def test_nothing_is_quantised_in_the_plain_epochs_and_after_them_all_is(vectors, monkeypatch):
    """Neither in the history, nor does the decoder see anything but what the encoder has made."""
    seen, forward = [], Network.forward

    def watched(network, x, codes=None):
        passed = forward(network, x, codes)
        if network.training:
            seen.append(torch.equal(passed.quantized.value, network.encoder(x)))
        return passed

    monkeypatch.setattr(Network, "forward", watched)
    tokenizer = vae(vectors, {"plain_epochs": 3, "epochs": 5})
    assert seen == [True] * 3 * 14 + [False] * 2 * 14
    assert [bool(CATALOGUE & set(row)) for row in tokenizer.history] == [False] * 3 + [True] * 2


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing(trained):
    rates = [row["learning_rate"] for row in trained.history]
    assert (
        rates[0] == pytest.approx(1.5e-3) and rates[1] == pytest.approx(3e-3) and rates[-1] < 1e-5
    )
    assert all(np.diff(rates[2:]) < 0)


@pytest.mark.parametrize(
    ("every", "looked"), [(1, [0, 1, 2, 3, 4, 5, 6, 7]), (3, [0, 3, 6, 7]), (100, [0, 7])]
)
def test_the_catalogue_is_looked_at_every_so_many_epochs_and_in_the_last(vectors, every, looked):
    tokenizer = vae(vectors, RESIDUAL | {"epochs": 7, "catalogue_every": every})
    assert [row["step"] for row in tokenizer.history if set(row) >= CATALOGUE] == looked
    assert [row["step"] for row in tokenizer.history if CATALOGUE & set(row)] == looked
    assert [row["step"] for row in tokenizer.history if set(row) >= OVER_ALL] == list(range(8))
    assert tokenizer.report["best_epoch"] in looked


def test_the_epoch_before_any_step_is_measured_over_all_rows_watched_and_the_whole_catalogue(
    vectors,
):
    """Against the tokenizer of a training that moved nothing."""
    tokenizer = vae(
        vectors, RESIDUAL | {"epochs": 1, "learning_rate": 1e-30}, rows=ROWS, monitor_rows=WATCHED
    )
    codes = tokenizer.encode(vectors)
    for row in tokenizer.history:
        assert {name: row[name] for name in CATALOGUE} == pytest.approx(catalogue_row(codes, SIZES))
        assert row["validation_relative_mse"] == pytest.approx(
            relative_mse(tokenizer, vectors[WATCHED]), rel=1e-4
        )


def test_of_a_large_catalogue_the_first_items_are_looked_at(vectors):
    tokenizer = vae(vectors, RESIDUAL | {"epochs": 1, "learning_rate": 1e-30, "catalogue_rows": 90})
    expected = catalogue_row(tokenizer.encode(vectors[:90]), SIZES)
    assert {name: tokenizer.history[-1][name] for name in CATALOGUE} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("watched", "split"),
    [(WATCHED, "validation"), (np.arange(599, 700), "watched"), (None, "watched")],
)
def test_validation_is_what_was_not_trained_on_and_all_else_is_watched(
    vectors, watched, split, caplog
):
    with caplog.at_level(logging.INFO, "semantic_ids"):
        tokenizer = vae(vectors, RESIDUAL | {"epochs": 1}, rows=ROWS, monitor_rows=watched)
    found = {name for row in tokenizer.history for name in row if name.startswith(("val", "wat"))}
    assert found == (VALIDATION if split == "validation" else OVER_ALL)
    assert f"{split} relative MSE" in caplog.text


def test_patience_does_not_end_the_epochs_for_unique_ids(vectors):
    """No epoch is better than the one before any step."""
    options = RESIDUAL | {
        "epochs": 30,
        "patience": 3,
        "learning_rate": 1e-30,
        "reset_below": 0.0,
        "unique_epochs": 2,
    }
    tokenizer = vae(vectors, options, sizes=(8, 5, 9), rows=FEW, assign=made_unique)
    steps = [(row["step"], row["phase"]) for row in tokenizer.history]
    assert steps[-2:] == [(29, "unique"), (30, "unique")] and len(steps) < 12


def test_without_a_quantiser_nothing_asks_for_unique_codes_and_the_best_epoch_is_kept(vectors):
    def assign(*_):
        raise AssertionError("an autoencoder has no codes")

    options = {"quantizer": "none", "epochs": 4, "unique_epochs": 3}
    tokenizer = vae(vectors, options, sizes=(8, 5, 9), rows=FEW, assign=assign)
    assert_same(tokenizer, vae(vectors, options, sizes=(8, 5, 9), rows=FEW))
    best = min(tokenizer.history, key=lambda row: row["watched_reconstruction"])
    assert tokenizer.report["best_epoch"] == best["step"]


# ---- what is kept --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, END_TO_END], ids=["mlp", "residual"])
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 1.0])
def test_the_epoch_kept_is_the_best_within_the_tolerance_and_its_figures_are_those_of_the_tokenizer(
    vectors, options, tolerance
):
    tokenizer = vae(
        vectors, options | {"collision_tolerance": tolerance}, rows=ROWS, monitor_rows=WATCHED
    )
    looked = [row for row in tokenizer.history if "collision_rate" in row]
    near = min(row["collision_rate"] for row in looked) + tolerance
    best = min(
        (row for row in looked if row["collision_rate"] <= near),
        key=lambda row: row["validation_reconstruction"],
    )
    assert tokenizer.report["best_epoch"] == best["step"]
    assert relative_mse(tokenizer, vectors[WATCHED]) == pytest.approx(
        best["validation_relative_mse"], rel=1e-4
    )
    x, decoded = (
        prepared(tokenizer, vectors[WATCHED]),
        prepared(tokenizer, tokenizer.decode(tokenizer.encode(vectors[WATCHED]))),
    )
    assert ((x - decoded) ** 2).sum(1).mean() == pytest.approx(
        best["validation_reconstruction"], rel=1e-4
    )
    cosines = (x * decoded).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(decoded, axis=1)
    assert cosines.mean() == pytest.approx(best["validation_cosine"], rel=1e-4)
    found = catalogue_row(tokenizer.encode(vectors), SIZES)
    assert {name: best[name] for name in CATALOGUE} == pytest.approx(found)


def test_with_the_loss_of_cosines_epochs_are_judged_by_cosines(vectors):
    """By a training that first gets better and then worse in one of the two."""
    kept = {}
    for reconstruction in ("mse", "cosine"):
        options = {
            "reconstruction": reconstruction,
            "collision_tolerance": 1.0,
            "schedule": "constant",
            "learning_rate": 0.03,
            "epochs": 15,
        }
        tokenizer = vae(vectors, options, rows=ROWS, monitor_rows=WATCHED)
        looked = [row for row in tokenizer.history if "collision_rate" in row]
        by_error = min(looked, key=lambda row: row["validation_relative_mse"])["step"]
        by_cosine = max(looked, key=lambda row: row["validation_cosine"])["step"]
        kept[reconstruction] = (
            tokenizer.report["best_epoch"],
            {
                "mse": by_error,
                "cosine": by_cosine,
            },
        )
    assert all(
        best == expected[reconstruction] for reconstruction, (best, expected) in kept.items()
    )
    assert (
        kept["cosine"][1]["mse"] != kept["cosine"][1]["cosine"]
    )  # so that it could have been told apart


def test_epochs_of_the_burn_in_are_neither_kept_nor_judged(vectors):
    options = RESIDUAL | {
        "epochs": 6,
        "learning_rate": 0.1,
        "warmup_epochs": 0,
        "schedule": "constant",
        "encoder_rate": 0.0,
    }
    assert vae(vectors, options).report["best_epoch"] < 4  # a rate that only does harm
    tokenizer = vae(vectors, options | {"burn_in": 4})
    looked = [row for row in tokenizer.history if row["step"] >= 4]
    near = min(row["collision_rate"] for row in looked) + 0.01
    best = min(
        (row for row in looked if row["collision_rate"] <= near),
        key=lambda row: row["watched_reconstruction"],
    )
    assert tokenizer.report["best_epoch"] == best["step"] >= 4
    same = np.repeat(vectors[:2], 350, axis=0)
    with pytest.raises(BadInput, match=r"collapsed in epoch 3:"):
        vae(same, {"epochs": 6}, sizes=(64, 64))
    with pytest.raises(BadInput, match=r"collapsed in epoch 5:"):
        vae(same, {"epochs": 6, "burn_in": 5}, sizes=(64, 64))
    with pytest.raises(BadInput, match=r"collapsed in epoch 6:"):
        vae(same, {"epochs": 6, "burn_in": 500}, sizes=(64, 64))


@pytest.mark.parametrize(("epochs", "plain"), [(1, 0), (1, 5), (3, 9), (3, 0), (3, 2)])
@pytest.mark.parametrize("quantizer", ["ema", "gradient", "end_to_end"])
def test_however_short_the_training_the_codebooks_are_started_and_the_last_epoch_has_them(
    vectors, quantizer, epochs, plain
):
    tokenizer = vae(vectors, {"quantizer": quantizer, "epochs": epochs, "plain_epochs": plain})
    quantised = [row["step"] for row in tokenizer.history if "usage.1" in row]
    unquantised = min(plain, epochs - 1)
    assert quantised == list(range(unquantised + 1 if unquantised else 0, epochs + 1))
    assert len(np.unique(tokenizer.encode(vectors)[:, 0])) > 3


def test_without_a_quantiser_it_is_a_plain_autoencoder_with_codebooks_in_the_end(vectors):
    tokenizer = vae(vectors, {"quantizer": "none", "epochs": 8}, rows=ROWS, monitor_rows=WATCHED)
    assert not any(CATALOGUE & set(row) for row in tokenizer.history)
    best = tokenizer.history[tokenizer.report["best_epoch"] - 1]
    x = torch.from_numpy(prepared(tokenizer, vectors))
    with torch.no_grad():
        latent = tokenizer._to_latent(x)
        plain = tokenizer._from_latent(latent)
    assert float(((plain - x)[WATCHED] ** 2).sum(1).mean()) == pytest.approx(
        best["validation_reconstruction"], rel=1e-4
    )
    assert best["validation_reconstruction"] == min(
        row["validation_reconstruction"] for row in tokenizer.history
    )
    errors = tokenizer.quantizer.errors(
        latent, torch.from_numpy(tokenizer.encode(vectors).astype(np.int64))
    )
    assert float(errors.mean()) < 0.6 * float(latent.var(0, correction=0).sum())
    assert len(np.unique(tokenizer.encode(vectors)[:, 0])) == SIZES[0]


def test_a_residual_network_is_at_first_as_good_as_rq_kmeans_and_then_never_worse(
    vectors, residual
):
    """Of the same rows, with the same seed.

    On the rows watched, in the space of the prepared vectors.
    """
    options = vars(RQKMeansOptions(**RESIDUAL["start"])) | {"beam_size": RESIDUAL["beam_size"]}
    plain = fitted("rq_kmeans", vectors, options=options, rows=ROWS)
    x = vectors[WATCHED]
    first, best = residual.history[0], residual.history[residual.report["best_epoch"]]
    assert first["validation_relative_mse"] == pytest.approx(relative_mse(plain, x), rel=1e-4)
    assert relative_mse(residual, x) == pytest.approx(best["validation_relative_mse"], rel=1e-4)
    assert relative_mse(residual, x) <= relative_mse(plain, x) * (1 + 1e-4)


def test_what_is_kept_is_never_worse_than_the_epoch_before_any_step_where_collisions_do_not_count(
    vectors,
):
    for rate in (1e-4, 1e-2, 0.3):
        options = END_TO_END | {"learning_rate": rate, "collision_tolerance": 1.0}
        tokenizer = vae(vectors, options, rows=ROWS, monitor_rows=WATCHED)
        assert relative_mse(tokenizer, vectors[WATCHED]) <= tokenizer.history[0][
            "validation_relative_mse"
        ] * (1 + 1e-5)
        if rate == 0.3:
            assert (
                tokenizer.history[-1]["validation_relative_mse"]
                > tokenizer.history[0]["validation_relative_mse"]
            )


# ---- when it ends --------------------------------------------------------------------------------


def test_it_stops_when_there_is_no_better_epoch_for_long(vectors, caplog):
    """A rate of nothing: no epoch is better than the one before any step."""
    with caplog.at_level(logging.INFO, "semantic_ids"):
        tokenizer = vae(
            vectors,
            RESIDUAL | {"epochs": 60, "patience": 3, "learning_rate": 1e-30, "reset_below": 0.0},
        )
    assert (
        tokenizer.report["epochs"] - tokenizer.report["best_epoch"] == 3
        and tokenizer.report["epochs"] < 10
    )
    assert "stopped" in caplog.text


def test_without_a_patience_it_goes_on_to_the_end(vectors):
    tokenizer = vae(
        vectors,
        RESIDUAL | {"epochs": 25, "patience": None, "learning_rate": 1e-30, "reset_below": 0.0},
        rows=FEW,
    )
    assert tokenizer.report["epochs"] == tokenizer.history[-1]["step"] == 25
    assert tokenizer.report["best_epoch"] < 5


def test_a_patience_shorter_than_the_time_between_two_looks_waits_for_the_next(vectors):
    options = RESIDUAL | {
        "epochs": 60,
        "patience": 3,
        "catalogue_every": 5,
        "learning_rate": 1e-30,
        "reset_below": 0.0,
    }
    tokenizer = vae(vectors, options, rows=FEW)
    assert (tokenizer.report["epochs"], tokenizer.report["best_epoch"]) == (5, 0)


def test_patience_begins_after_the_burn_in(vectors):
    options = RESIDUAL | {
        "epochs": 60,
        "patience": 3,
        "burn_in": 5,
        "learning_rate": 1e-30,
        "reset_below": 0.0,
    }
    tokenizer = vae(vectors, options)
    assert tokenizer.report == tokenizer.report | {"epochs": 8, "best_epoch": 5}


def test_a_loss_that_is_not_finite_is_bad_input_that_names_the_rate(vectors):
    with pytest.raises(
        BadInput, match=r"the loss of epoch \d+ is (nan|inf).*learning_rate lower than 1e\+18"
    ):
        vae(vectors, {"learning_rate": 1e18})


def test_few_different_vectors_are_a_collapse(vectors):
    same = np.repeat(vectors[:2], 350, axis=0)
    with pytest.raises(
        BadInput, match=r"level 1 has collapsed in epoch 3: 62 of its 64 codes are dead.*2\.0 codes"
    ):
        vae(same, {"epochs": 4, "reset_below": 0.0}, sizes=(64, 64))
    vae(same, {"epochs": 4, "collapse_below": 0.0}, sizes=(64, 64))


def test_codes_that_die_while_it_trains_are_a_collapse(vectors):
    """An encoder that leads all vectors to one place, with codebooks that do not follow."""
    options = {
        "quantizer": "gradient",
        "codebook_rate": 0.0,
        "codebook_weight": 0.0,
        "reset_below": 0.0,
        "commitment": 0.0,
    }
    harmful = {
        "weight_decay": 30.0,
        "learning_rate": 0.03,
        "schedule": "constant",
        "collapse_below": 0.4,
        "epochs": 12,
    }
    with pytest.raises(BadInput, match=r"level \d has collapsed in epoch \d+"):
        vae(vectors, options | harmful, sizes=(16, 16))


def test_a_sound_training_warns_of_nothing_and_says_each_epoch(vectors, caplog):
    with caplog.at_level(logging.INFO, "semantic_ids"):
        vae(vectors)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
    for epoch in range(1, 13):
        assert f"epoch {epoch}/12: loss" in caplog.text


@pytest.mark.parametrize(("option", "value"), [("sampling", 0.5), ("sinkhorn", 0.05)])
def test_gumbel_draws_codes_itself_and_excludes_what_else_chooses_them(vectors, option, value):
    with pytest.raises(BadInput, match=rf"estimator gumbel and [a-z]+\.{option} {value}"):
        vae(vectors, {"gradient": "gumbel", option: value})


# ---- what must not matter ------------------------------------------------------------------------

DRAWING = {
    "mlp": {"dropout": 0.1, "sampling": 0.05, "masking": 0.3, "reset_below": 0.5, "epochs": 7},
    "residual": (
        END_TO_END
        | {
            "dropout": 0.1,
            "sampling": 0.05,
            "masking": 0.3,
            "reset_below": 0.5,
            "epochs": 5,
            "burn_in": 3,
        }
    ),
    "gumbel": {
        "gradient": "gumbel",
        "quantizer": "gradient",
        "dropout": 0.1,
        "epochs": 6,
        "plain_epochs": 1,
        "schedule": "one_cycle",
    },
    "adagrad": {
        "optimizer": "adagrad",
        "learning_rate": 0.03,
        "dropout": 0.1,
        "quantizer": "end_to_end",
        "epochs": 6,
    },
    "none": {"quantizer": "none", "dropout": 0.1, "epochs": 6},
}
"""Trainings in which much is drawn at random."""
STEPS, FEW = 6, np.arange(300)
"""Steps an epoch of few rows."""


def drawing(vectors, case, **more):
    return vae(vectors, DRAWING[case], rows=FEW, **more)


@pytest.mark.parametrize("case", DRAWING)
def test_rows_read_from_a_map_train_as_rows_held_in_memory(vectors, case, monkeypatch, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors)
    rows = np.setdiff1d(np.arange(350), np.arange(3, 350, 7))
    monkeypatch.setattr("semantic_ids.learning.batches.BLOCK_ROWS", 16)
    monkeypatch.setattr("semantic_ids.learning.batches.BUFFER_ROWS", 160)
    held = vae(vectors, DRAWING[case], rows=rows)
    monkeypatch.setattr("semantic_ids.learning.batches.HELD_BYTES", 0)
    assert_same(vae(map_rows(tmp_path / "vectors.npy"), DRAWING[case], rows=rows), held)


@pytest.mark.parametrize("parts", [3, 60])
def test_a_batch_in_parts_trains_as_a_whole_one(vectors, parts):
    """Also where there are more parts than rows.

    A parameter whose gradient is noise about zero takes steps of noise with Adam.
    """
    options = END_TO_END | {
        "reset_below": 0.0,
        "epochs": 3,
        "optimizer": "adagrad",
        "codebook_weight": 0.5,
    }
    whole, in_parts = (
        vae(vectors, options | {"accumulate": n}, rows=ROWS[:120]) for n in (1, parts)
    )
    assert_close(in_parts, whole, 1e-4)
    assert (whole.encode(vectors) == in_parts.encode(vectors)).mean() > 0.99


def test_less_precision_ends_near_full_precision(vectors):
    full, rough, auto = (
        vae(vectors, RESIDUAL | {"precision": precision})
        for precision in ("float32", "bfloat16", "auto")
    )
    a, b = (tokenizer.decode(tokenizer.encode(vectors)) for tokenizer in (full, rough))
    assert not np.array_equal(a, b)
    assert relative_mse(rough, vectors) == pytest.approx(relative_mse(full, vectors), rel=0.02)
    assert_same(auto, full)  # on a CPU


def can_compile() -> bool:
    try:
        return bool(
            torch.equal(torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(3)), torch.ones(3))
        )
    except Exception:
        return False


@pytest.mark.slow
def test_compiled_networks_learn_the_same(vectors):
    if not can_compile():
        pytest.skip("torch.compile does not work here")
    plain, compiled = (
        vae(vectors, RESIDUAL | {"compile": value, "epochs": 3, "reset_below": 0.0})
        for value in (False, True)
    )
    assert_close(compiled, plain, 1e-3)
    assert (plain.encode(vectors) == compiled.encode(vectors)).mean() > 0.99


# ---- every option has an effect ------------------------------------------------------------------


@pytest.fixture(scope="module")
def decodings() -> dict[str, np.ndarray]:
    """What trainings decode to, so that those that many others are compared with are made once."""
    return {}


LEARNT = {"quantizer": "end_to_end"}
GUMBEL = {"gradient": "gumbel", "quantizer": "end_to_end"}
FROM_RQ_KMEANS = {"init": "rq_kmeans", "start": RESIDUAL["start"]}


@pytest.mark.parametrize(
    ("option", "value", "base"),
    [
        ("architecture", "residual", {}),
        ("hidden", [8], {}),
        ("latent", 3, {}),
        ("activation", "relu", {"activation": "silu"}),
        ("bias", False, {"bias": True}),
        ("layer_norm", True, {}),
        ("dropout", 0.2, {}),
        ("quantizer", "gradient", {}),
        ("quantizer", "end_to_end", {"quantizer": "gradient"}),
        ("quantizer", "none", {}),
        ("joint", True, {}),
        ("joint", True, LEARNT),
        ("beam_size", 4, {}),
        ("init", "rq_kmeans", {}),
        ("init_rows", 70, {}),
        ("gradient", "rotation", {}),
        ("gradient", "gumbel", {}),
        ("gradient", "gumbel", LEARNT),
        ("temperature", 3.0, GUMBEL),
        ("final_temperature", 0.9, GUMBEL),
        ("sampling", 0.5, {}),
        ("decay", 0.5, {}),
        ("decay", 0.5, LEARNT | {"reset_below": 0.9}),
        ("smoothing", 1.0, {}),
        ("reset_below", 0.9, {"reset_below": 0.0}),
        ("masking", 0.5, {}),
        ("sinkhorn", 0.05, {}),
        ("sinkhorn_iterations", 1, {"sinkhorn": 0.05}),
        ("reconstruction", "cosine", {}),
        ("commitment", 2.0, {}),
        ("codebook_weight", 0.1, LEARNT),
        (
            "codebook_weight",
            0.1,
            {"quantizer": "gradient", "optimizer": "adagrad", "weight_decay": 0.0},
        ),
        ("epochs", 3, {}),
        ("batch_rows", 200, {}),
        ("accumulate", 2, {}),  # averages take a step a part
        ("optimizer", "adagrad", {}),
        ("learning_rate", 1e-3, {}),
        ("encoder_rate", 0.1, {}),
        ("codebook_rate", 0.1, LEARNT),
        ("weight_decay", 0.5, {}),
        ("schedule", "one_cycle", {}),
        ("schedule", "constant", {}),
        ("warmup_epochs", 1, {}),
        ("plain_epochs", 1, {}),
        ("clip", 1e-3, {"optimizer": "adagrad"}),
        ("start", {**RESIDUAL["start"], "anneal_rounds": 0}, FROM_RQ_KMEANS),
    ],
    ids=lambda value: "" if isinstance(value, dict) else str(value),
)
def test_every_option_has_an_effect(vectors, option, value, base, decodings):
    """A switch without effect is a defect."""
    sizes = (
        (2, 2) if option == "init_rows" else SIZES
    )  # at least 32 rows a code are taken, whatever init_rows says
    base = OPTIONS["rq_vae"] | {"epochs": 4, "batch_rows": 100, "collision_tolerance": 1.0} | base
    assert base.get(option) != value

    def decoded(options):
        known = json.dumps([options, sizes])
        if known not in decodings:
            tokenizer = vae(vectors, options, sizes=sizes, rows=FEW)
            decodings[known] = tokenizer.decode(tokenizer.encode(vectors))
        return decodings[known]

    assert not np.array_equal(decoded(base), decoded(base | {option: value}))


@pytest.mark.parametrize(("option", "value"), [("codebook_weight", 0.5), ("codebook_rate", 0.5)])
def test_what_codebooks_learn_from_gradients_is_nothing_to_averages(
    vectors, trained, option, value
):
    assert_same(vae(vectors, {option: value}, rows=ROWS, monitor_rows=WATCHED), trained)


def test_no_encoder_learns_at_no_rate_and_vectors_are_quantised_as_they_are(vectors):
    tokenizer = vae(vectors, RESIDUAL | {"encoder_rate": 0.0})
    assert not [name for name in tokenizer._weights() if name.startswith("encoder")]
    x = torch.from_numpy(prepared(tokenizer, vectors))
    assert torch.equal(tokenizer._to_latent(x), x)


def test_where_nothing_can_be_compiled_it_says_so_before_it_trains(vectors, monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("no compiler\nand a long trace")

    monkeypatch.setattr("semantic_ids.learning.layers.Linear.forward", no_compiler)
    with pytest.raises(
        BadInput, match=r"torch.compile does not work here: no compiler; expected a C\+\+ compiler"
    ):
        vae(vectors, {"compile": True, "epochs": 2})


# ---- the codes of unique IDs ---------------------------------------------------------------------


made_unique = partial(unique_codes, candidates=4)


@pytest.mark.parametrize("options", [{}, RESIDUAL], ids=["mlp", "residual"])
def test_in_the_last_epochs_items_have_the_codes_of_their_unique_ids(vectors, options, monkeypatch):
    asked, seen, forward = [], [], Network.forward
    beam = {**OPTIONS["rq_vae"], **options}["beam_size"]

    def assign(codes, costs):
        found, latents = made_unique(codes, costs), costs.vectors.at(np.arange(len(codes)))
        asked.append((codes, found, costs.quantizer.encode(latents, beam).numpy()))
        np.testing.assert_array_equal(
            costs.likeness(np.arange(len(FEW))), vector_hash(vectors[FEW])
        )
        return found

    def watched(network, x, codes=None):
        if network.training:
            seen.append(None if codes is None else codes.numpy())
        return forward(network, x, codes)

    monkeypatch.setattr(Network, "forward", watched)
    tokenizer = vae(
        vectors,
        options | {"epochs": 5, "unique_epochs": 2},
        sizes=(8, 5, 9),
        rows=FEW,
        assign=assign,
    )
    steps = len(seen) // 5
    assert [codes is None for codes in seen] == [True] * 3 * steps + [False] * 2 * steps
    assert [row["phase"] for row in tokenizer.history if row["step"]][-3:] == [
        "train",
        "unique",
        "unique",
    ]
    assert tokenizer.report["best_epoch"] == 5 and len(asked) == 2
    for epoch, (codes, unique, encoded) in enumerate(asked):
        np.testing.assert_array_equal(
            codes, encoded
        )  # those that the codebooks of that moment give
        assert len(np.unique(unique, axis=0)) == len(FEW) > len(np.unique(codes, axis=0))
        used = np.concatenate(seen[(3 + epoch) * steps : (4 + epoch) * steps])
        np.testing.assert_array_equal(np.unique(used, axis=0), np.unique(unique, axis=0))


def test_unique_ids_are_better_reconstructed_for_it(vectors):
    errors = []
    for epochs in (0, 10):
        options = RESIDUAL | {
            "epochs": 30,
            "unique_epochs": epochs,
            "learning_rate": 3e-3,
            "encoder_rate": 0.0,
        }
        tokenizer = vae(vectors, options, sizes=(8, 8, 12), assign=made_unique)
        unique = made_unique(tokenizer.encode(vectors), TokenizerCosts(tokenizer, vectors))
        errors.append(((tokenizer.decode(unique) - vectors) ** 2).sum())
    assert errors[1] < 0.99 * errors[0]


@pytest.mark.parametrize("options", [{}, RESIDUAL], ids=["mlp", "residual"])
def test_latent_vectors_that_are_too_many_to_hold_are_computed_on_demand(
    vectors, options, monkeypatch
):
    """Only rounding tells the two ways apart."""
    options = options | {"epochs": 5, "unique_epochs": 2}
    held = vae(vectors, options, sizes=(8, 5, 9), rows=FEW, assign=made_unique)
    monkeypatch.setattr("semantic_ids.tokenizers.rq_vae.task.HELD_LATENTS", 0)
    asked = []

    def assign(codes, costs):
        made, rows = [], costs.vectors.at
        asked.append(made)
        counting = replace(costs.vectors, at=lambda r: made.append(len(r)) or rows(r))
        monkeypatch.setattr(costs, "vectors", counting)
        return made_unique(codes, costs)

    computed = vae(vectors, options, sizes=(8, 5, 9), rows=FEW, assign=assign)
    assert computed.report["unique_epochs"] == held.report["unique_epochs"] == len(asked) == 2
    assert all(sum(made) >= len(FEW) for made in asked)  # each item's distortion, at the least
    assert_close(computed, held, 1e-4)


@pytest.mark.parametrize("why", ["no unique IDs are wanted", "no epochs for them"])
def test_otherwise_no_epoch_is_for_them(vectors, why):
    more = {} if why == "no unique IDs are wanted" else {"assign": made_unique}
    options = {"epochs": 4, "unique_epochs": 0 if why == "no epochs for them" else 3}
    tokenizer = vae(vectors, RESIDUAL | options, sizes=(8, 5, 9), rows=FEW, **more)
    assert {row["phase"] for row in tokenizer.history} == {"start", "train"}
    assert tokenizer.report["unique_epochs"] == 0


# ---- a training that was killed goes on ----------------------------------------------------------


def stopped_after(steps: int, monkeypatch) -> None:
    """Stop the training as Ctrl-C does, at the step after so many."""
    done, step = itertools.count(1), Loop._step

    def stopping(*arguments):
        if next(done) > steps:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(Loop, "_step", stopping)


def steps_of(options) -> int:
    return STEPS * (OPTIONS["rq_vae"] | options)["epochs"]


@pytest.fixture(scope="module")
def uninterrupted(vectors):
    tokenizers = {case: drawing(vectors, case) for case in DRAWING}
    assert all(tokenizer.report["best_epoch"] >= 3 for tokenizer in tokenizers.values())
    return tokenizers


@pytest.mark.parametrize("draw", range(2))
@pytest.mark.parametrize("case", DRAWING)
def test_a_training_stopped_anywhere_and_started_again_ends_with_the_same_bits(
    vectors, uninterrupted, case, draw, monkeypatch, tmp_path
):
    steps = int(np.random.default_rng([draw, *case.encode()]).integers(1, steps_of(DRAWING[case])))
    with monkeypatch.context() as patch:
        stopped_after(steps, patch)
        with pytest.raises(KeyboardInterrupt):
            drawing(vectors, case, checkpoints=Checkpoints(tmp_path, {"x": 1}, every=2, keep=2))
    first = []
    epoch = Loop._epoch
    monkeypatch.setattr(
        Loop, "_epoch", lambda loop, number: first.append(number) or epoch(loop, number)
    )
    again = drawing(vectors, case, checkpoints=Checkpoints(tmp_path, {"x": 1}, every=2, keep=2))
    assert (
        first[0] == steps // STEPS // 2 * 2 + 1
    )  # it did go on, from the last even epoch that was whole
    assert_same(again, uninterrupted[case])


def test_stopped_twice_it_still_goes_on(vectors, uninterrupted, monkeypatch, tmp_path):
    for steps in (
        3 * STEPS - 2,
        2 * STEPS + 2,
    ):  # in the third epoch, and again two epochs after the second
        with monkeypatch.context() as patch:
            stopped_after(steps, patch)
            with pytest.raises(KeyboardInterrupt):
                drawing(
                    vectors, "mlp", checkpoints=Checkpoints(tmp_path, {"x": 1}, every=1, keep=1)
                )
    assert_same(
        drawing(vectors, "mlp", checkpoints=Checkpoints(tmp_path, {"x": 1}, every=1, keep=1)),
        uninterrupted["mlp"],
    )


def test_checkpoints_change_nothing_and_none_is_written_of_a_training_that_is_over(
    vectors, uninterrupted, tmp_path
):
    of = Checkpoints(tmp_path, {"x": 1}, every=1, keep=99)
    whole = drawing(vectors, "mlp", checkpoints=of)
    assert_same(whole, uninterrupted["mlp"])
    epochs = whole.report["epochs"]
    assert sorted(place.name for place in of.folder.iterdir()) == [
        f"epoch-{epoch:05d}" for epoch in range(1, epochs)
    ]


def test_begun_anew_it_does_not_go_on(vectors, uninterrupted, monkeypatch, tmp_path):
    drawing(vectors, "mlp", checkpoints=Checkpoints(tmp_path, {"x": 1}, every=1))
    with monkeypatch.context() as patch:
        stopped_after(0, patch)
        with pytest.raises(KeyboardInterrupt):
            drawing(vectors, "mlp", checkpoints=Checkpoints(tmp_path, {"x": 1}, resume="never"))


def test_from_a_checkpoint_that_was_named_it_ends_with_the_same_bits(
    vectors, uninterrupted, tmp_path
):
    of = Checkpoints(tmp_path / "a", {"x": 1}, every=1, keep=99)
    drawing(vectors, "residual", checkpoints=of)
    for epoch in (1, 3):
        named = Checkpoints(
            tmp_path / str(epoch), {"x": 1}, resume=str(of.folder / f"epoch-{epoch:05d}")
        )
        assert_same(drawing(vectors, "residual", checkpoints=named), uninterrupted["residual"])


def test_a_checkpoint_of_another_training_is_refused(vectors, tmp_path):
    of = Checkpoints(tmp_path, {"epochs": 5}, every=1)
    vae(vectors, {"epochs": 5}, checkpoints=of)
    with pytest.raises(BadInput, match="epochs was 5, is 6"):
        vae(
            vectors,
            {"epochs": 6},
            checkpoints=Checkpoints(tmp_path, {"epochs": 6}, resume=str(of.folder)),
        )


KILLED = """
import sys, time
from pathlib import Path

import numpy as np

sys.path[:0] = {paths!r}
from semantic_ids.tokenizers import fit_tokenizer
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop

if sys.argv[3] == "slowly":
    epoch = Loop._epoch
    Loop._epoch = lambda *arguments: time.sleep(0.3) or epoch(*arguments)
tokenizer = fit_tokenizer(
    np.load(sys.argv[1]), kind="rq_vae", codebook_sizes=(8, 5, 7), device="cpu",
    options={options!r},
    checkpoints=Checkpoints(sys.argv[2], {{"x": 1}}, every=2),
)
tokenizer.save(Path(sys.argv[2]).parent / "tokenizer")
"""


@pytest.mark.slow
def test_a_training_that_was_killed_and_started_again_ends_with_the_same_bytes(
    vectors, root: Path, tmp_path
):
    np.save(tmp_path / "vectors.npy", vectors)
    script = tmp_path / "script.py"
    script.write_text(
        KILLED.format(
            paths=[str(root / "src")], options=grouped(OPTIONS["rq_vae"] | DRAWING["mlp"])
        )
    )
    folders = {name: tmp_path / name / "checkpoints" for name in ("whole", "killed")}

    def command(name: str, how: str) -> list[str]:
        folders[name].mkdir(parents=True, exist_ok=True)
        return [sys.executable, str(script), str(tmp_path / "vectors.npy"), str(folders[name]), how]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command("killed", "slowly"), env=environment) as process:
        until = time.monotonic() + 120
        while (
            not list(folders["killed"].glob("*/epoch-*/manifest.json"))
            and time.monotonic() < until
            and process.poll() is None
        ):
            time.sleep(0.02)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
    assert not (folders["killed"].parent / "tokenizer").exists()
    assert list(folders["killed"].glob("*/epoch-*"))
    for name in folders:
        subprocess.run(command(name, "quickly"), env=environment, check=True)
    model = [
        (folder.parent / "tokenizer/model.safetensors").read_bytes() for folder in folders.values()
    ]
    assert model[0] == model[1]
