"""Optimizers over parts of a network that learn at rates of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from semantic_ids.learning.schedules import SCHEDULES

MOMENTA = (0.85, 0.95)
"""Least and largest momentum of the one-cycle schedule (L. Smith and N. Topin, arXiv:1708.07120):
large where the rate is small."""


@dataclass(frozen=True)
class Part:
    """Parameters that learn alike.

    Attributes:
        parameters: Those that do not learn are left out.
        rate: Their learning rate as a multiple of that of the training.
        weight_decay: Their weight decay.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    weight_decay: float = 0.0


def make_optimizer(
    parts: Sequence[Part],
    name: str,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """Return the optimizer `adamw` or `adagrad` of some parts, one group for each that learns.

    Args:
        parts: Parts of a network.
        name: The optimizer.
        learning_rate: Highest learning rate.
        betas: Decay of AdamW's averages of gradients and of their squares, a step.

    Raises:
        ValueError: The name is not known.
    """
    groups = [
        {"params": learnt, "share": part.rate, "weight_decay": part.weight_decay}
        for part in parts
        if (learnt := [parameter for parameter in part.parameters if parameter.requires_grad])
    ]
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=learning_rate)
    if name != "adamw":
        raise ValueError(f"unknown optimizer '{name}'")
    fused = all(
        parameter.device.type in ("cpu", "cuda") for part in parts for parameter in part.parameters
    )
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=fused)


def set_rates(
    optimizer: torch.optim.Optimizer,
    schedule: str,
    learning_rate: float,
    step: int,
    warmup: int,
    total: int,
) -> float:
    """Give every part its rate at a step, and return that of a part of rate 1.

    Args:
        optimizer: Made by `make_optimizer`.
        schedule: Name in `schedules.SCHEDULES`.
        learning_rate: Highest learning rate.
        step: Number of the step, from 0.
        warmup: Steps of the warm-up.
        total: Steps of the training.
    """
    factor = SCHEDULES[schedule](step, warmup, total)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["share"] * factor
        if schedule == "one_cycle" and "betas" in group:
            least, most = MOMENTA
            group["betas"] = (most - (most - least) * factor, group["betas"][1])
    return learning_rate * factor
