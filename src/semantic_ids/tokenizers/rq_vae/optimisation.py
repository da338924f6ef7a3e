"""Optimisers and schedules of a training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from semantic_ids.tokenizers.rq_vae.networks import Network
    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

MOMENTA = (0.85, 0.95)
"""Least and largest momentum of the one-cycle schedule (L. Smith and N. Topin, arXiv:1708.07120):
large where the rate is small."""


def make_optimizer(network: Network, options: RQVAEOptions) -> torch.optim.Optimizer:
    """Return the optimiser. The encoder learns at its own rate.

    Codebooks know no weight decay, which would pull them to zero.
    """
    encoder, decoder, codebooks = (
        [p for p in part.parameters() if p.requires_grad]
        for part in (network.encoder, network.decoder, network.quantizer)
    )
    parts = [
        (encoder, options.encoder_rate, options.weight_decay),
        (decoder, 1.0, options.weight_decay),
    ]
    parts.append((codebooks, options.codebook_rate, 0.0))
    groups = [
        {"params": learnt, "share": share, "weight_decay": decay}
        for learnt, share, decay in parts
        if learnt
    ]
    if options.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, lr=options.learning_rate)
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in network.parameters())
    return torch.optim.AdamW(groups, lr=options.learning_rate, fused=fused)


def set_rates(
    optimizer: torch.optim.Optimizer, options: RQVAEOptions, step: int, steps: int
) -> float:
    """Give every part of the network the rate of a step, and return that of the decoder.

    `steps` are those of one epoch.
    """
    factor = FACTORS[options.schedule](step, options.warmup_epochs * steps, options.epochs * steps)
    for group in optimizer.param_groups:
        group["lr"] = options.learning_rate * group["share"] * factor
        if options.schedule == "one_cycle" and "betas" in group:
            least, most = MOMENTA
            group["betas"] = (most - (most - least) * factor, group["betas"][1])
    return options.learning_rate * factor


def constant(step: int, warmup: int, total: int) -> float:
    """Rise linearly over the warm-up, then stay."""
    return (step + 1) / warmup if step < warmup else 1.0


def cosine(step: int, warmup: int, total: int) -> float:
    """Rise linearly over the warm-up, then fall to zero by half a cosine."""
    return (
        constant(step, warmup, total)
        if step < warmup
        else 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
    )


def one_cycle(step: int, warmup: int, total: int) -> float:
    """Rise over the warm-up by half a cosine, then fall to zero by another."""
    return (
        0.5 * (1 - math.cos(math.pi * (step + 1) / warmup))
        if step < warmup
        else cosine(step, warmup, total)
    )


FACTORS: Mapping[str, Callable[[int, int, int], float]] = {
    "cosine": cosine,
    "one_cycle": one_cycle,
    "constant": constant,
}
"""Schedule → what the rate is multiplied with at a step: (step, steps of the warm-up, all
steps)."""


def temperature(options: RQVAEOptions, step: int, total: int) -> float:
    """Return the temperature of the Gumbel-softmax at a step.

    It falls from the first to the last by equal factors.
    """
    return options.temperature * (options.final_temperature / options.temperature) ** (
        step / max(1, total - 1)
    )
