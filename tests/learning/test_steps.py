"""A batch computed in parts, side by side, against the batch as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.regression import Regression, weights
from torch import nn

from semantic_ids.learning.layers import Dropout, drawing, keep_mask, uniform
from semantic_ids.learning.loop import Loop
from semantic_ids.learning.optimizers import Part
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.steps import in_turn, side_by_side
from semantic_ids.learning.task import Outcome, parts_of

CPU = torch.device("cpu")
PLAN = Plan(epochs=3, batch_rows=32, learning_rate=0.05, precision="float32", part_rows=5)


class Drawn(Regression):
    """With dropout of the kit, and a parameter that nothing uses."""

    def __init__(self, **told):
        super().__init__(**told)
        self.module = nn.Sequential(self.module[0], Dropout(0.2), self.module[2])
        self.module.unused = nn.Parameter(torch.ones(2))


def run(threads, plan=PLAN, task=None):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        loop = Loop(task or Drawn(), plan, 7, CPU)
        loop.run()
    finally:
        torch.set_num_threads(before)
    return loop


def gradients(task):
    return [p.grad.clone() for p in task.module.parameters()]


@pytest.mark.parametrize("rows", [1, 5, 7, 99])
def test_the_parts_have_the_gradient_of_the_whole(rows):
    task, at = Regression(dropout=False), np.arange(20)
    batch = (task.x[:20], task.y[:20])
    sums = in_turn(task, PLAN, task.module, at, batch, 20, (0, 1))
    whole = gradients(task)
    task.module.zero_grad()
    plan = replace(PLAN, part_rows=rows)
    found = side_by_side(task, plan, at, batch, 20, (0, 1), 3)
    assert found.item() == pytest.approx(sums.item(), rel=1e-6)
    for one, other in zip(gradients(task), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_no_bit_depends_on_the_number_of_threads():
    one = run(1)
    for threads in (2, 3, 8):
        other = run(threads)
        assert weights(other.task) == weights(one.task)
        assert [r["loss"] for r in other.history[1:]] == [r["loss"] for r in one.history[1:]]
    assert weights(run(1, replace(PLAN, part_rows=None)).task) != weights(one.task)


def test_what_nothing_uses_has_no_gradient():
    assert run(2).task.module.unused.grad is None
    assert torch.equal(run(2).task.module.unused, torch.ones(2))


def test_in_bfloat16_the_parts_compute_in_it():
    kinds = set()

    class Watched(Regression):
        def step(self, model, positions, batch, progress):
            kinds.add(model(batch[0]).dtype)
            return super().step(model, positions, batch, progress)

    run(2, replace(PLAN, epochs=1, precision="bfloat16"), Watched())
    assert kinds == {torch.bfloat16}


def test_a_step_that_fails_stops_the_training():
    class Failing(Regression):
        def step(self, *arguments):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        run(2, task=Failing())


def test_a_batch_may_say_how_it_is_cut():
    class Own:
        def in_parts(self, positions, parts):
            return [(positions[:1], "first"), (positions[1:], "others")]

    found = parts_of(np.arange(4), Own(), 3)
    assert [(at.tolist(), part) for at, part in found] == [([0], "first"), ([1, 2, 3], "others")]


# ---- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_as_many_are_left_out_as_asked_and_the_rest_makes_up_for_them(share):
    with drawing(1):
        drawn = keep_mask((1000, 1001), share)
    values = drawn.unique().tolist()
    assert values == [0.0, pytest.approx(1 / (1 - share), rel=1e-4)]
    left_out = (drawn == 0).float()
    expected = 4 * (share * (1 - share) / drawn.numel()) ** 0.5
    assert left_out.mean().item() == pytest.approx(share, abs=expected)
    assert drawn.mean().item() == pytest.approx(1, abs=4 * (share / (1 - share)) ** 0.5 / 1000)
    for place in range(4):  # each word of 64 bits gives four
        at = left_out.flatten()[place::4].mean().item()
        assert at == pytest.approx(share, abs=2 * expected)
    pairs = (left_out.flatten()[:-1] * left_out.flatten()[1:]).mean().item()
    assert pairs == pytest.approx(share**2, abs=2 * expected)


def test_what_is_drawn_follows_from_the_seed():
    def drawn(*seed):
        with drawing(*seed):
            return keep_mask((7, 5), 0.4), keep_mask((7, 5), 0.4)

    first, second = drawn(1, 2)
    assert torch.equal(drawn(1, 2)[0], first) and torch.equal(drawn(1, 2)[1], second)
    assert not torch.equal(first, second) and not torch.equal(drawn(1, 3)[0], first)


def test_dropout_is_none_when_not_training_and_torchs_elsewhere():
    layer, x = Dropout(0.5), torch.ones(400)
    torch.manual_seed(0)
    expected = nn.functional.dropout(x, 0.5)
    torch.manual_seed(0)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.eval()(x), x)
    with drawing(0):
        assert torch.equal(layer(x), x) and not torch.equal(layer.train()(x), expected)
    assert torch.equal(Dropout(0.0)(x), x)


def test_its_gradient_is_the_mask():
    x = torch.ones(50, requires_grad=True)
    with drawing(5):
        y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_numbers_are_drawn_evenly_from_the_seed():
    def drawn(*seed):
        with drawing(*seed):
            return uniform((301, 99), CPU)

    found = drawn(4)
    assert torch.equal(found, drawn(4)) and not torch.equal(found, drawn(5))
    assert found.min() >= 0 and found.max() < 1 and found.shape == (301, 99)
    counts = torch.histc(found, 10, 0, 1)
    assert (counts - found.numel() / 10).abs().max() < 5 * (found.numel() * 0.09) ** 0.5
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(uniform((3,), CPU), expected)


class Looked(Regression):
    """A table of which a batch reads a few rows, with gradients of these alone."""

    def __init__(self, *, sparse):
        super().__init__(dropout=False)
        table = nn.Embedding(500, 5, sparse=sparse)
        torch.manual_seed(1)
        nn.init.normal_(table.weight)
        self.module = nn.ModuleList([self.module, table])

    def parts(self):
        return [Part([*self.module.parameters()])]

    def step(self, model, positions, batch, progress):
        x, y = batch
        own = model[1](torch.from_numpy(positions))
        error = ((model[0](x + own)[:, 0] - y) ** 2).sum()
        return error, error.detach().double()[None]

    def validate(self, epoch):
        return Outcome({"validation_error": 0.0}, 0.0)


@pytest.mark.parametrize("rows", [5, None])
def test_gradients_of_a_few_rows_are_those_of_the_table(rows):
    plan = replace(PLAN, part_rows=rows, max_grad_norm=1.0)
    few, whole = (run(2, plan, Looked(sparse=sparse)) for sparse in (True, False))
    for one, other in zip(
        few.task.module.parameters(), whole.task.module.parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
