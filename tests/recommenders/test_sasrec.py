"""SASRec: its loss, its ranking, its training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from semantic_ids.recommenders import sasrec
from semantic_ids.recommenders.options import RecommenderOptions, SASRecOptions, TrainingOptions
from semantic_ids.recommenders.sasrec import SASRec, cross_entropy
from semantic_ids.recommenders.training import train_sasrec
from tests.recommenders.cyclic import arbitrary, cyclic
from tests.recommenders.test_training import LENGTH, recall_of_items, timeless, weights

SMALL = {"dim": 32, "layers": 1, "feed_forward": 48, "dropout": 0.1, "epochs": 10}
OPTIONS = {
    "device": "cpu",
    "sasrec": SMALL | {"learning_rate": 0.01},
    "training": {"batch_windows": 32, "warmup_steps": 5, "evaluate_every": 2},
}


def train(histories, items=40, **own):
    options = RecommenderOptions.of({**OPTIONS, "sasrec": OPTIONS["sasrec"] | own})
    return train_sasrec(histories, items, options, LENGTH)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("cells", [1, 70, 1 << 20])
def test_the_loss_and_its_gradients_are_torchs(smoothing, cells, monkeypatch):
    monkeypatch.setattr(sasrec, "CELLS", cells)
    torch.manual_seed(0)
    h = torch.randn((6, 5), dtype=torch.float64, requires_grad=True)
    table = torch.randn((23, 5), dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 22, 3, 3, 7, 11])
    expected = nn.functional.cross_entropy(
        h @ table.T, targets, reduction="none", label_smoothing=smoothing
    )
    found = cross_entropy(h, table, targets, smoothing)
    torch.testing.assert_close(found, expected)
    weights = torch.arange(1.0, 7.0, dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), (h, table)),
        torch.autograd.grad((expected * weights).sum(), (h, table)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("cells", [1, 200, 1 << 20])
def test_the_ranking_is_that_of_all_scores(cells, monkeypatch):
    monkeypatch.setattr(sasrec, "CELLS", cells)
    torch.manual_seed(0)
    model = SASRec(57, SASRecOptions(), LENGTH).eval()
    histories = torch.randint(0, 57, (9, LENGTH))
    histories[3, 2:] = -1
    items, scores = model.rank(histories, 12)
    for row, history in enumerate(histories):
        known = history[history >= 0]
        every = model.hidden(known[None])[0, -1] @ model.embedding.weight.T
        best = every.sort(descending=True, stable=True)
        assert torch.equal(items[row], best.indices[:12])
        torch.testing.assert_close(scores[row], best.values[:12])


def test_where_there_are_fewer_items_than_asked_for():
    model = SASRec(3, SASRecOptions(), LENGTH).eval()
    items, scores = model.rank(torch.zeros((2, LENGTH), dtype=torch.int64), 5)
    assert sorted(items[0, :3].tolist()) == [0, 1, 2] and items[0, 3:].tolist() == [-1, -1]
    assert scores[0, 3:].tolist() == [-torch.inf] * 2


def test_the_loss_is_minus_the_log_probability_of_the_item():
    torch.manual_seed(0)
    model = SASRec(20, SASRecOptions(), LENGTH).eval()
    inputs, targets = torch.randint(0, 20, (2, 3, LENGTH))
    targets[0, :3] = -1
    expected = 0.0
    for row, column in (targets >= 0).nonzero().tolist():
        h = model.hidden(inputs[row : row + 1, : column + 1])[0, -1]
        expected -= (h @ model.embedding.weight.T).log_softmax(0)[targets[row, column]].item()
    found = model(inputs, targets, None, TrainingOptions())
    assert found.shape == (1,) and found.item() == pytest.approx(expected, rel=1e-4)


def test_a_cycle_is_learned():
    histories = cyclic(40, 150)
    trained = train(histories)
    assert recall_of_items(trained.model, histories, 1) > 0.9
    assert trained.report["validation_recall_at_10"] > 0.95
    assert "loss.1" not in trained.history.names


def test_where_nothing_can_be_known_nothing_is():
    histories = arbitrary(40, 800)
    found = recall_of_items(train(histories, epochs=3).model, histories, 10)
    assert found == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 800) ** 0.5)


def test_no_bit_depends_on_the_number_of_threads():
    histories, found, before = cyclic(40, 200), [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(train(histories, epochs=2))
    finally:
        torch.set_num_threads(before)
    assert weights(found[0]) == weights(found[1])
    assert timeless(found[0].history) == timeless(found[1].history)


def test_the_first_loss_is_that_of_knowing_nothing():
    rows = train(arbitrary(40, 200), epochs=1, learning_rate=1e-6).history
    assert rows[0]["loss"] == pytest.approx(np.log(40), rel=0.15)
