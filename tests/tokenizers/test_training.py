"""The training of rq_vae: what it keeps, when it stops, what it writes down, what it warns of."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from semantic_ids.errors import BadInput
from tests.conftest import clustered
from tests.tokenizers.conftest import OPTIONS, fitted

ROWS = np.arange(600)


@pytest.fixture(scope="module")
def vectors():
    return clustered(700, 12, seed=1)


def relative_mse(tokenizer, x):
    decoded = tokenizer.decode(tokenizer.encode(x)).astype(np.float64)
    return ((x - decoded) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()


@pytest.fixture(scope="module")
def trained(vectors):
    return fitted("rq_vae", vectors, rows=ROWS, monitor_rows=np.arange(600, 700))


def test_the_history_has_a_row_an_epoch_and_says_what_the_issue_asks_for(trained):
    assert [row["epoch"] for row in trained.history] == list(range(1, 13))
    wanted = {"loss", "reconstruction", "commitment", "validation_relative_mse", "validation_cosine", "learning_rate", "seconds", "resets"}
    assert wanted <= set(trained.history[0]) and {"usage.1", "perplexity.3"} <= set(trained.history[-1])


def test_the_loss_is_reconstruction_plus_weighted_commitment(trained):
    for row in trained.history:
        assert row["loss"] == pytest.approx(row["reconstruction"] + 0.25 * row["commitment"])


def test_the_best_epoch_is_kept_and_its_figure_is_that_of_all_the_rows_watched(trained, vectors):
    quantised = [row for row in trained.history if "usage.1" in row]
    best = min(quantised, key=lambda row: row["validation_relative_mse"])
    assert trained.report["best_epoch"] == best["epoch"]
    assert relative_mse(trained, vectors[600:]) == pytest.approx(best["validation_relative_mse"], rel=1e-3)


def test_nothing_is_quantised_during_the_warm_up_and_the_rate_rises(trained):
    quantised = ["usage.1" in row for row in trained.history]
    assert quantised == [False] * 2 + [True] * 10
    rates = [row["learning_rate"] for row in trained.history]
    assert rates[0] < rates[1] == pytest.approx(3e-3, rel=0.01) and rates[-1] < 1e-5
    assert all(np.diff(rates[2:]) < 0)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 0), (1, 5), (3, 9), (3, 0)])
def test_however_short_the_training_the_codebooks_are_started(vectors, epochs, warmup):
    tokenizer = fitted("rq_vae", vectors, options={"epochs": epochs, "warmup_epochs": warmup})
    assert "usage.1" in tokenizer.history[-1] and len(np.unique(tokenizer.encode(vectors)[:, 0])) > 3


def test_it_stops_when_there_is_no_gain(vectors):
    options = {"epochs": 60, "patience": 3, "learning_rate": 1e-9, "warmup_epochs": 0, "decay": 0.999999}
    tokenizer = fitted("rq_vae", vectors, options=options)
    assert len(tokenizer.history) < 60
    assert len(tokenizer.history) - tokenizer.report["best_epoch"] == 3


def test_a_loss_that_is_not_finite_is_bad_input(vectors):
    with pytest.raises(BadInput, match="learning_rate"):
        fitted("rq_vae", vectors, options={"learning_rate": 1e18, "clip": 1e30, "epochs": 12})


def test_collapse_is_warned_of(vectors, caplog):
    same = np.repeat(vectors[:2], 350, axis=0)
    with caplog.at_level(logging.WARNING, "semantic_ids"):
        fitted("rq_vae", same, sizes=(64, 64), options={"epochs": 3})
    assert "level 1 has collapsed" in caplog.text


def test_a_sound_training_warns_of_nothing(vectors, caplog):
    with caplog.at_level(logging.WARNING, "semantic_ids"):
        fitted("rq_vae", vectors)
    assert not caplog.records


def test_rows_read_from_the_map_train_as_rows_held_in_memory(vectors, monkeypatch):
    held = fitted("rq_vae", vectors)
    monkeypatch.setattr("semantic_ids.tokenizers.training.IN_MEMORY_BYTES", 0)
    np.testing.assert_array_equal(fitted("rq_vae", vectors).encode(vectors), held.encode(vectors))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("activation", "relu"),
        ("batch_rows", 200),
        ("learning_rate", 1e-3),
        ("weight_decay", 0.5),
        ("warmup_epochs", 1),
        ("clip", 1e-3),
        ("commitment", 2.0),
        ("decay", 0.5),
        ("init_rows", 70),
        ("reset_below", 0.9),
        ("hidden", [8]),
        ("latent", 3),
        ("epochs", 2),
    ],
)
def test_every_option_has_an_effect(vectors, option, value):
    """A switch without effect is a defect."""
    sizes = (2, 2) if option == "init_rows" else (8, 5, 7)  # at least 32 rows a code are taken, whatever init_rows says
    a = fitted("rq_vae", vectors, sizes=sizes, options={"epochs": 4})
    b = fitted("rq_vae", vectors, sizes=sizes, options={"epochs": 4, option: value})
    assert OPTIONS["rq_vae"].get(option) != value
    assert not np.array_equal(a.decode(a.encode(vectors)), b.decode(b.encode(vectors)))
