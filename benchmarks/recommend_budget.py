"""Training a recommender for as many CPU seconds as another one took."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from semantic_ids.artifacts import Codes
from semantic_ids.compute.devices import resolve
from semantic_ids.learning.loop import Loop
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.options import RecommenderOptions, TrainingOptions
from semantic_ids.recommenders.task import Ahead, Evaluate, RecommenderTask
from semantic_ids.recommenders.training import build_network
from semantic_ids.recommenders.validation import Validation, find_ids, users_of
from semantic_ids.recommenders.windows import Windows, single_targets, windows_of

TRIAL_BATCHES = 8
"""Batches that tell how long one takes; they are trained on twice, and the second time counts."""


class Share(RecommenderTask):
    """Learns from other windows in each epoch, so many of all.

    A budget seldom ends with a pass over all windows: passes are cut so that they fill it, and the
    schedule of the learning rate comes to its end.
    """

    def __init__(
        self,
        size: int,
        network: nn.Module,
        windows: Windows,
        children: Children,
        options: TrainingOptions,
        evaluate: Evaluate | None,
        ahead: Ahead | None,
    ) -> None:
        super().__init__(network, windows, children, options, evaluate, ahead)
        self.all, self.size = windows, min(size, len(windows))
        self.begin(1, 0)

    def begin(self, epoch: int, seed: int) -> None:
        """Choose the windows of an epoch."""
        rows = np.random.default_rng(seed).permutation(len(self.all))[: self.size]
        self.data = part_of(self.all, np.sort(rows))


def part_of(windows: Windows, rows: np.ndarray) -> Windows:
    """Return some of the windows."""
    return replace(
        windows,
        begins=windows.begins[rows],
        firsts=windows.firsts[rows],
        ends=windows.ends[rows],
    )


def train_within(
    histories: Histories, ids: Codes, options: RecommenderOptions, length: int, budget: float
) -> tuple[nn.Module, dict[str, Any]]:
    """Train for a number of CPU seconds, those of validation not counted.

    A few batches tell how many windows that is; passes, learning rate and warm-up are laid out for
    so many.

    Args:
        histories: Who had which items.
        ids: The IDs of the items.
        options: Which network, and how it learns; `training.epochs` is of no account.
        length: Most items of a history.
        budget: CPU seconds, of all threads.

    Returns:
        The network of the epoch that validation chose, and the report of the training:
        `passes` says how many times it learned from as many windows as there are.
    """
    device = resolve(options.device, "recommender.device")
    windows = windows_for(histories, options, length, device)
    batch = options.training.batch_windows
    trial = min(TRIAL_BATCHES * batch, len(windows))
    once = [_run(histories, ids, options, length, windows, trial, 1, False)[2] for _ in range(2)]
    count = max(batch, int(budget / once[1] * trial))
    epochs = math.ceil(count / len(windows))
    size = math.ceil(count / epochs)
    model, report, spent = _run(histories, ids, options, length, windows, size, epochs, True)
    return model, report | {"passes": size * epochs / len(windows), "steps_cpu_seconds": spent}


def windows_for(
    histories: Histories, options: RecommenderOptions, length: int, device: torch.device
) -> Windows:
    """Return what a kind learns from."""
    if options.kind == "tiger":
        return single_targets(histories, length, device)
    return windows_of(histories, length, options.training.window_step, device)


def epoch_of(
    histories: Histories, ids: Codes, options: RecommenderOptions, length: int, windows: Windows
) -> tuple[nn.Module, float]:
    """Train one epoch on some windows without validation; return the network and CPU seconds."""
    model, _, spent = _run(histories, ids, options, length, windows, len(windows), 1, False)
    return model, spent


def _run(
    histories: Histories,
    ids: Codes,
    options: RecommenderOptions,
    length: int,
    windows: Windows,
    size: int,
    epochs: int,
    judged: bool,
) -> tuple[nn.Module, dict[str, Any], float]:
    """Train `epochs` times on `size` windows; return network, report and CPU seconds of steps."""
    device, kept = windows.device, options.training
    steps = epochs * math.ceil(size / kept.batch_windows)
    training = replace(
        kept,
        epochs=epochs,
        warmup_steps=min(kept.warmup_steps, steps // 10),
        evaluate_every=max(1, epochs // 4),
        patience=None,
    )
    children, spent = Children(ids.codes, ids.sizes, device), [0.0]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        network = build_network(options, ids.codes, ids.sizes, length).to(device)
        if options.kind == "item_level":
            cold = histories.training_counts(len(ids)) == 0
            network.forget(np.flatnonzero(cold))  # type: ignore[operator]
        beam, most = kept.evaluate_beam, kept.evaluate_targets
        find, users = find_ids(network, children, beam), users_of(device, children, beam)
        validation = Validation(histories, most, length, device, find, users)

        def evaluate() -> dict[str, float]:
            began = time.process_time()
            found = validation()
            spent[0] += time.process_time() - began
            return found

        own = options.item_level
        ahead = None if options.kind == "tiger" else Ahead(own.ahead, own.ahead_until)
        task = Share(
            size, network, windows, children, training, evaluate if judged else None, ahead
        )
        loop, began = Loop(task, task.plan, options.seed, device), time.process_time()
        loop.run()
        used = time.process_time() - began - spent[0]
    row = next(row for row in loop.history if row.step == loop.report["best_epoch"])
    found = {name: value for name, value in row.items() if name.startswith("validation_")}
    counted = sum(weight.numel() for weight in network.parameters())
    return network.eval(), {**loop.report, **found, "parameters": counted}, used
