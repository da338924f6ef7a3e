"""The loop, with a linear regression against one written out by hand."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.regression import Regression, module, weights

from semantic_ids.errors import BadInput
from semantic_ids.learning.batches import batch_sizes, shuffled
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import DRAWS, ORDER, Loop
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.task import Held, split
from semantic_ids.progress import listening

CPU = torch.device("cpu")
PLAN = Plan(epochs=6, batch_rows=32, learning_rate=0.05, warmup_epochs=1, precision="float32")
STEPS = 4


def run(plan=PLAN, checkpoints=None, task=None, seed=7):
    task = task or Regression()
    loop = Loop(task, plan, seed, CPU, checkpoints)
    loop.run()
    return loop


def timeless(history):
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "items_per_second")}
        for row in history
    ]


def by_hand(epochs: int, seed: int):
    """The same training without anything of the kit but the order of its batches."""
    net, task = module(), Regression()
    groups = [
        {"params": net[0].parameters(), "weight_decay": 0.01},
        {"params": net[2].parameters(), "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, fused=True)
    kept, errors = None, []
    for epoch in range(1, epochs + 1):
        order, draws = (
            int(np.random.SeedSequence([seed, epoch, purpose, 0]).generate_state(1)[0])
            for purpose in (ORDER, DRAWS)
        )
        torch.manual_seed(draws)
        net.train()
        batches = [
            torch.from_numpy(batch)
            for window in shuffled(120, 32, torch.Generator().manual_seed(order))
            for batch in window
        ]
        for number, batch in enumerate(batches):
            step, total = (epoch - 1) * STEPS + number, epochs * STEPS
            factor = (
                (step + 1) / STEPS
                if step < STEPS
                else 0.5 * (1 + math.cos(math.pi * (step - STEPS) / (total - STEPS)))
            )
            for group, share in zip(optimizer.param_groups, (0.5, 1.0), strict=True):
                group["lr"] = 0.05 * share * factor
            optimizer.zero_grad()
            error = ((net(task.x[batch])[:, 0] - task.y[batch]) ** 2).sum()
            (error * (1 / len(batch))).backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            errors.append(float(((net(task.x[120:])[:, 0] - task.y[120:]) ** 2).mean()))
        if errors[-1] == min(errors):
            kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.load_state_dict(kept)
    return net, errors


def test_it_is_the_training_written_out_by_hand_bit_for_bit():
    loop, (net, errors) = run(), by_hand(6, 7)
    for name, tensor in net.state_dict().items():
        assert torch.equal(loop.task.module.state_dict()[name], tensor)
    assert [row["validation_error"] for row in loop.history[1:]] == errors
    assert loop.report["best_epoch"] == 1 + int(np.argmin(errors))
    assert errors[-1] < 0.6 * errors[0]  # it does learn


def test_the_task_is_called_in_the_order_that_it_is_told():
    calls = run(replace(PLAN, epochs=2)).task.calls
    first = [("start", 1), ("validate", 0), ("begin", 1), ("validate", 1)]
    assert calls == [*first, ("start", 2), ("begin", 2), ("validate", 2), ("finished", None)]


def test_every_epoch_has_a_row_which_listeners_hear_of():
    heard = []
    with listening(lambda what, row, step: heard.append((what, row, step))):
        loop = run()
    assert [row.step for row in loop.history] == list(range(7))
    assert heard == [("training", row.numbers, row.step) for row in loop.history]
    columns = {
        "step",
        "phase",
        "learning_rate",
        "loss",
        "seconds",
        "items_per_second",
        "validation_error",
    }
    assert all(set(row) == columns for row in loop.history[1:])
    assert set(loop.history[0]) == {"step", "phase", "validation_error"}


@pytest.mark.parametrize("parts", [2, 3, 50])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(parts):
    plan = replace(PLAN, optimizer="adagrad")
    whole = run(plan, task=Regression(dropout=False)).task.module.state_dict()
    in_parts = run(replace(plan, accumulate=parts), task=Regression(dropout=False))
    for name, tensor in in_parts.task.module.state_dict().items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-5, atol=1e-5)


def test_gradients_are_clipped_to_a_norm(monkeypatch):
    norms, step = [], torch.optim.Adagrad.step

    def watched(optimizer, *arguments):
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
        norms.append(math.sqrt(sum(float((grad**2).sum()) for grad in grads)))
        return step(optimizer, *arguments)

    monkeypatch.setattr(torch.optim.Adagrad, "step", watched)
    run(replace(PLAN, optimizer="adagrad", max_grad_norm=0.5))
    assert max(norms) == pytest.approx(0.5, rel=1e-3) and len(norms) == 6 * STEPS


def test_steps_compute_in_bfloat16_where_asked_and_validation_does_not():
    """`Regression.validate` asserts the second."""
    full, less = run(), run(replace(PLAN, precision="bfloat16"))
    assert weights(full.task) != weights(less.task)
    assert less.history[-1]["validation_error"] == pytest.approx(
        full.history[-1]["validation_error"], rel=0.3
    )


# ---- which epoch, and when it ends ---------------------------------------------------------------

RISING = [9.0, 8.0, 1.0, 5.0, 4.0, 3.0, 2.0, 0.5]


def test_it_stops_when_no_epoch_is_better_for_long_and_keeps_the_best(caplog):
    plan = replace(PLAN, epochs=7, schedule="constant", patience=3)
    with caplog.at_level(logging.INFO, "semantic_ids"):
        loop = run(plan, task=Regression(scores=RISING))
    assert loop.report["epochs"] == 5 and loop.report["best_epoch"] == 2
    assert "no better than epoch 2" in caplog.text
    two = run(replace(plan, epochs=2), task=Regression(scores=RISING))
    assert weights(loop.task) == weights(two.task)


def test_without_patience_it_goes_on():
    loop = run(replace(PLAN, epochs=7), task=Regression(scores=RISING))
    assert loop.report["epochs"] == loop.report["best_epoch"] == 7


def test_the_epochs_that_a_task_finishes_with_come_also_where_patience_has_ended_the_others():
    task = Regression(scores=[*RISING, 0.7, 0.6, 0.9])
    task.finish = 2
    loop = run(replace(PLAN, epochs=10, patience=2), task=task)
    assert [row.step for row in loop.history] == [0, 1, 2, 3, 4, 9, 10]


def test_epochs_of_the_burn_in_are_not_kept():
    scores = [0.1, 0.2, 0.3, 7.0, 5.0, 6.0, 8.0]
    assert run(replace(PLAN, burn_in=3), task=Regression(scores=scores)).report["best_epoch"] == 4
    assert run(replace(PLAN, burn_in=99), task=Regression(scores=scores)).report["best_epoch"] == 6


def test_a_loss_that_is_not_finite_is_refused_in_the_name_of_the_task():
    with pytest.raises(BadInput, match=r"regression: the loss of epoch 1 is (nan|inf)"):
        run(replace(PLAN, learning_rate=1e30))


# ---- to go on where it was -----------------------------------------------------------------------


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("steps", [1, 6, 11, 14, 19])
def test_killed_anywhere_it_goes_on_to_the_same_bits(steps, patience, tmp_path, monkeypatch):
    plan, done, step = replace(PLAN, epochs=7, patience=patience), [], Loop._step
    scores = None if patience is None else RISING

    def stopping(*arguments):
        done.append(1)
        if len(done) > steps:
            raise KeyboardInterrupt
        return step(*arguments)

    def kept():
        return Checkpoints(tmp_path, {"x": 1}, every=2)

    whole = run(plan, task=Regression(scores=scores))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loop, "_step", stopping)
        run(plan, kept(), Regression(scores=scores))
    again = run(plan, kept(), Regression(scores=scores))
    assert weights(again.task) == weights(whole.task)
    assert timeless(again.history) == timeless(whole.history)
    assert again.report["best_epoch"] == whole.report["best_epoch"]
    begun = sum(name == "begin" for name, _ in again.task.calls)
    assert begun == sum(name == "begin" for name, _ in whole.task.calls)


# ---- data ----------------------------------------------------------------------------------------


def test_held_data_come_by_position_as_a_tensor_or_a_tuple():
    x, y = torch.arange(20.0)[:, None], torch.arange(20)
    windows = [list(window) for window in shuffled(20, 6, torch.Generator().manual_seed(0))]
    for (at, one), (_, two) in zip(
        Held(x).batches(iter(windows)), Held(x, y).batches(iter(windows)), strict=True
    ):
        assert torch.equal(one[:, 0].long(), torch.from_numpy(at))
        assert torch.equal(two[0], one) and torch.equal(two[1], torch.from_numpy(at))
    assert len(Held(x)) == 20 and batch_sizes(20, 6).tolist() == [5, 5, 5, 5]


def test_parts_of_a_batch_are_those_of_its_tensors():
    x, y = torch.arange(7.0)[:, None], torch.arange(7)
    assert [part.flatten().tolist() for part in split(x, 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [(len(a), b.tolist()) for a, b in split((x, y), 2)] == [
        (4, [0, 1, 2, 3]),
        (3, [4, 5, 6]),
    ]
