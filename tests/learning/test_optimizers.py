"""Optimisers and schedules, against closed forms and torch's own."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.grouped import grouped

from semantic_ids.learning import optimizers
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.schedules import (
    SCHEDULES,
    constant,
    cosine,
    geometric,
    one_cycle,
)
from semantic_ids.tokenizers.rq_vae.codebooks import Start
from semantic_ids.tokenizers.rq_vae.networks import Network
from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions
from semantic_ids.tokenizers.rq_vae.task import RQVAETask

START = Start(20, lambda z: [])
RATE = 0.02
WARMUP, TOTAL = 6, 40
PLAIN = {
    "architecture": "mlp",
    "hidden": (5,),
    "latent": 3,
    "quantizer": "end_to_end",
    "epochs": 30,
    "optimizer": "adamw",
    "learning_rate": RATE,
    "encoder_rate": 0.1,
    "codebook_rate": 1.0,
    "weight_decay": 0.3,
    "schedule": "cosine",
    "warmup_epochs": 1,
}


def network(options):
    torch.manual_seed(0)
    return Network(8, (4, 3), options)


def made(**changes):
    """Options, a network and its optimiser."""
    options = RQVAEOptions.of(grouped({**PLAIN, **changes}))
    net = network(options)
    x = np.zeros((20, 8), np.float32)
    task = RQVAETask(net, options, x, np.arange(20), np.arange(20), lambda y: y, 8, start=START)
    made = optimizers.make_optimizer(
        task.parts(), options.optimizer.name, options.optimizer.learning_rate
    )
    return options, net, made


def set_rates(optimizer, options, step, steps):
    """As the loop does, with so many steps an epoch."""
    return optimizers.set_rates(
        optimizer,
        options.schedule.shape,
        options.optimizer.learning_rate,
        step,
        options.schedule.warmup_epochs * steps,
        options.schedule.epochs * steps,
    )


def groups_of(net, optimizer):
    """Part of the network → its group of the optimiser.

    Every parameter of the part must be in that one.
    """
    found = {}
    for name in ("encoder", "decoder", "quantizer"):
        for parameter in getattr(net, name).parameters():
            (group,) = (
                group
                for group in optimizer.param_groups
                if any(parameter is other for other in group["params"])
            )
            assert found.setdefault(name, group) is group
    return found


def theirs(schedule, steps):
    """The rates and betas that a scheduler of torch gives at each step.

    A function of an optimiser makes it.
    """
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler, rows = schedule(optimizer), []
    for _ in range(steps):
        rows.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"][0]))
        optimizer.step()
        scheduler.step()
    return np.array(rows)


def ours(schedule, warmup=WARMUP, total=TOTAL):
    return np.array([RATE * SCHEDULES[schedule](step, warmup, total) for step in range(total)])


# ---- schedules -----------------------------------------------------------------------------------


def warm(optimizer):
    return torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1 / WARMUP, total_iters=WARMUP - 1
    )


def test_the_constant_schedule_rises_linearly_as_that_of_torch():
    np.testing.assert_allclose(ours("constant"), theirs(warm, TOTAL)[:, 0])


def test_the_cosine_schedule_is_that_of_torch():
    np.testing.assert_allclose(ours("cosine")[:WARMUP], theirs(warm, WARMUP)[:, 0])
    fall = theirs(
        lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TOTAL - WARMUP),
        TOTAL - WARMUP,
    )
    np.testing.assert_allclose(ours("cosine")[WARMUP:], fall[:, 0], atol=1e-12)


def cycle(optimizer):
    """One cycle of torch. It begins at nothing, a step before ours does, and takes its highest rate
    once where ours takes it twice.
    """
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        RATE,
        TOTAL + 1,
        pct_start=(WARMUP + 1) / (TOTAL + 1),
        div_factor=1e12,
        final_div_factor=1,
        base_momentum=0.85,
    )


def test_the_one_cycle_schedule_is_that_of_torch():
    expected = theirs(cycle, TOTAL)[:, 0]
    np.testing.assert_allclose(ours("one_cycle")[:WARMUP], expected[1 : WARMUP + 1], atol=1e-9)
    np.testing.assert_allclose(ours("one_cycle")[WARMUP:], expected[WARMUP:], atol=1e-9)


def test_the_momentum_of_one_cycle_runs_the_other_way_as_that_of_torch():
    options, _, optimizer = made(schedule="one_cycle", epochs=20, warmup_epochs=3)
    momenta = []
    for step in range(TOTAL):
        set_rates(optimizer, options, step, 2)
        assert {group["betas"][1] for group in optimizer.param_groups} == {0.999}
        momenta.append([group["betas"][0] for group in optimizer.param_groups])
    expected = theirs(cycle, TOTAL)[:, 1]
    momenta = np.array(momenta)
    np.testing.assert_allclose(momenta[:WARMUP], np.tile(expected[1 : WARMUP + 1, None], 3))
    np.testing.assert_allclose(momenta[WARMUP:], np.tile(expected[WARMUP:, None], 3))
    assert momenta.min() == pytest.approx(0.85) and momenta[-1].min() > 0.9495


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_other_schedules_leave_the_momentum_as_it_is(schedule):
    options, _, optimizer = made(schedule=schedule)
    for step in (0, 5, 29):
        set_rates(optimizer, options, step, 1)
        assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}


def test_schedules_are_what_their_closed_forms_say():
    for step in range(TOTAL):
        fall = (1 + math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP))) / 2
        rising = step < WARMUP
        assert constant(step, WARMUP, TOTAL) == pytest.approx((step + 1) / WARMUP if rising else 1)
        assert cosine(step, WARMUP, TOTAL) == pytest.approx((step + 1) / WARMUP if rising else fall)
        assert one_cycle(step, WARMUP, TOTAL) == pytest.approx(
            math.sin(math.pi * (step + 1) / WARMUP / 2) ** 2 if rising else fall
        )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_without_a_warm_up_the_first_step_has_the_full_rate(schedule):
    factors = [SCHEDULES[schedule](step, 0, 10) for step in range(11)]
    assert factors[0] == 1
    assert factors[10] == pytest.approx(1 if schedule == "constant" else 0)
    assert all(after <= before for before, after in itertools.pairwise(factors))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_ends_at_the_full_rate(schedule):
    factors = [SCHEDULES[schedule](step, WARMUP, TOTAL) for step in range(TOTAL)]
    assert 0 < factors[0] < 0.2 and factors[WARMUP - 1] == pytest.approx(1) and factors[WARMUP] == 1
    assert all(before < after for before, after in itertools.pairwise(factors[:WARMUP]))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [10, 25])
def test_a_training_may_be_all_warm_up(schedule, warmup):
    factors = [SCHEDULES[schedule](step, warmup, 10) for step in range(10)]
    assert all(before < after for before, after in itertools.pairwise(factors))
    assert (factors[-1] == pytest.approx(1)) == (warmup == 10)


# ---- parts of the network ------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_every_part_of_the_network_learns_at_its_own_rate(optimizer):
    options, net, optimizer = made(
        optimizer=optimizer, encoder_rate=0.25, codebook_rate=3.0, epochs=10, warmup_epochs=2
    )
    groups = groups_of(net, optimizer)
    for step in (0, 5, 8, 30, 39):
        factor = cosine(step, 8, 40)
        assert set_rates(optimizer, options, step, 4) == pytest.approx(RATE * factor)
        rates = {name: group["lr"] / RATE / factor for name, group in groups.items()}
        assert rates == pytest.approx({"encoder": 0.25, "decoder": 1.0, "quantizer": 3.0})


def test_one_cycle_is_for_an_optimiser_without_momentum_too():
    options, _, optimizer = made(
        optimizer="adagrad", schedule="one_cycle", epochs=10, warmup_epochs=2
    )
    assert set_rates(optimizer, options, 3, 4) == pytest.approx(RATE * one_cycle(3, 8, 40))
    assert not any("betas" in group for group in optimizer.param_groups)


def test_parts_at_rate_nothing_stay_where_they_are():
    options, net, optimizer = made(encoder_rate=0.0, codebook_rate=0.0)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    set_rates(optimizer, options, 3, 1)
    optimizer.step()
    moved = {
        name.split(".")[0]
        for name, parameter in net.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert moved == {"decoder"}


@pytest.mark.parametrize("optimizer", ["adamw", "adagrad"])
def test_codebooks_have_no_weight_decay(optimizer):
    _, net, optimizer = made(optimizer=optimizer)
    decays = {name: group["weight_decay"] for name, group in groups_of(net, optimizer).items()}
    assert decays == {"encoder": 0.3, "decoder": 0.3, "quantizer": 0.0}


def test_where_nothing_pulls_weights_decay_and_codebooks_stay():
    options, net, optimizer = made(schedule="constant", warmup_epochs=0, encoder_rate=0.5)
    for book in net.quantizer.codebooks:
        torch.nn.init.normal_(book)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    set_rates(optimizer, options, 0, 1)
    optimizer.step()
    for name, parameter in net.named_parameters():
        kept = {"encoder": 1 - 0.5 * RATE * 0.3, "decoder": 1 - RATE * 0.3, "quantizer": 1.0}[
            name.split(".")[0]
        ]
        torch.testing.assert_close(parameter.detach(), before[name] * kept)


@pytest.mark.parametrize(("changes", "parts"), [
    ({"quantizer": "end_to_end"}, {"encoder", "decoder", "quantizer"}),
    ({"quantizer": "gradient"}, {"encoder", "decoder", "quantizer"}),
    ({"quantizer": "ema"}, {"encoder", "decoder"}),
    ({"quantizer": "none"}, {"encoder", "decoder"}),
    ({"quantizer": "ema", "architecture": "residual", "encoder_rate": 0.0}, {"decoder"}),
], ids=str)  # fmt: skip
def test_only_what_learns_is_given_to_the_optimiser(changes, parts):
    _, net, optimizer = made(**changes)
    learnt = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    names = {
        name.split(".")[0] for name, parameter in net.named_parameters() if id(parameter) in learnt
    }
    assert names == parts and len(optimizer.param_groups) == len(parts)
    assert learnt == {id(parameter) for parameter in net.parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("name", "reference"), [("adamw", torch.optim.AdamW), ("adagrad", torch.optim.Adagrad)]
)
def test_optimisers_step_as_those_of_torch(name, reference):
    options, net, optimizer = made(
        optimizer=name, schedule="constant", warmup_epochs=0, encoder_rate=1.0, weight_decay=0.1
    )
    twin = network(options)
    layers = {
        "params": [*twin.encoder.parameters(), *twin.decoder.parameters()],
        "weight_decay": 0.1,
    }
    plain = reference([layers, {"params": twin.quantizer.parameters()}], lr=RATE, weight_decay=0.0)
    generator = torch.Generator().manual_seed(1)
    for step in range(4):
        for one, other in zip(net.parameters(), twin.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        set_rates(optimizer, options, step, 1)
        optimizer.step()
        plain.step()
    assert type(optimizer) is reference
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other)


# ---- other numbers that change -------------------------------------------------------------------


@pytest.mark.parametrize(("first", "last"), [(1.0, 0.1), (2.0, 0.5), (0.5, 0.5)])
def test_a_number_goes_from_the_first_to_the_last_by_equal_factors(first, last):
    found = [geometric(first, last, step, 25) for step in range(25)]
    np.testing.assert_allclose(found, np.geomspace(first, last, 25))


def test_of_a_single_step_it_is_the_first():
    assert geometric(2.0, 0.5, 0, 1) == 2.0


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="sgd"):
        optimizers.make_optimizer([], "sgd", 0.1)


def test_adamw_takes_its_decays():
    parts = [optimizers.Part([torch.nn.Parameter(torch.zeros(1))])]
    made = optimizers.make_optimizer(parts, "adamw", 0.1, (0.8, 0.95))
    assert made.param_groups[0]["betas"] == (0.8, 0.95)


def test_a_warm_up_may_be_counted_in_steps():
    plan = Plan(epochs=3, batch_rows=8, warmup_epochs=2)
    assert plan.warmup(50) == 100 and replace(plan, warmup_steps=30).warmup(50) == 30
