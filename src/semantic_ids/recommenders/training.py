"""From histories and IDs to a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from semantic_ids.compute.devices import resolve
from semantic_ids.errors import BadInput
from semantic_ids.history import History
from semantic_ids.learning import distributed
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.loop import Loop
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.item_level import ItemLevel
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.sasrec import SASRec
from semantic_ids.recommenders.task import Ahead, RecommenderTask
from semantic_ids.recommenders.tiger import Tiger
from semantic_ids.recommenders.validation import (
    PART_USERS,
    Validation,
    find_ids,
    find_items,
    users_of,
)
from semantic_ids.recommenders.windows import Windows, single_targets, windows_of


@dataclass
class Trained:
    """A network that has learned.

    Attributes:
        model: The network of the epoch that was kept.
        history: One row an epoch.
        report: Windows, targets, parameters, seconds, epochs, the epoch that was kept, and what
            validation found of it.
    """

    model: nn.Module
    history: History
    report: dict[str, Any]


def build_network(
    options: RecommenderOptions, codes: np.ndarray, sizes: Sequence[int], length: int
) -> ItemLevel | Tiger:
    """Return the network of the options on the CPU, with the weights that it starts from.

    Args:
        options: Its kind, and the options of that.
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        length: Most items of a history.
    """
    if options.kind == "tiger":
        return Tiger(codes, sizes, options.tiger, length)
    return ItemLevel(codes, sizes, options.item_level, length)


def train_network(
    histories: Histories,
    codes: np.ndarray,
    sizes: Sequence[int],
    options: RecommenderOptions,
    length: int,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train a recommender on the IDs of items.

    The same histories, IDs and options give the same weights, with any number of threads.

    Args:
        histories: Who had which items.
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        options: Which network, and how it learns.
        length: Most items of a history.
        checkpoints: Where the state is kept, if it is.

    Raises:
        BadInput: There is nothing to learn from, the device is not there, the loss is no longer
            finite, or the checkpoint to resume from is of another training.
    """
    device = resolve(options.device, "recommender.device")
    children = Children(codes, sizes, device)
    windows = (
        single_targets(histories, length, device)
        if options.kind == "tiger"
        else windows_of(histories, length, options.training.window_step, device)
    )
    beam = options.training.evaluate_beam

    def make() -> tuple[nn.Module, Validation]:
        network = build_network(options, codes, sizes, length).to(device)
        if isinstance(network, ItemLevel):
            network.forget(np.flatnonzero(histories.training_counts(len(codes)) == 0))
        find, users = find_ids(network, children, beam), users_of(device, children, beam)
        most = options.training.evaluate_targets
        return network, Validation(histories, most, length, device, find, users)

    own = options.item_level
    ahead = None if options.kind == "tiger" else Ahead(own.ahead, own.ahead_until)
    return _train(make, windows, children, options, ahead, device, checkpoints)


def train_sasrec(
    histories: Histories,
    items: int,
    options: RecommenderOptions,
    length: int,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train SASRec, whose model is a `ranking.Ranker`: see `train_network`.

    Args:
        histories: Who had which items.
        items: Number of items n.
        options: `sasrec` says how it is built; `training` how it learns where `sasrec` does not.
        length: Most items of a history.
        checkpoints: Where the state is kept, if it is.
    """
    device, own = resolve(options.device, "recommender.device"), options.sasrec
    training = replace(
        options.training,
        epochs=own.epochs,
        learning_rate=own.learning_rate,
        weight_decay=own.weight_decay,
    )
    windows = windows_of(histories, length, training.window_step, device)

    def make() -> tuple[nn.Module, Validation]:
        network = SASRec(items, own, length).to(device)
        most = training.evaluate_targets
        return network, Validation(histories, most, length, device, find_items(network), PART_USERS)

    options = replace(options, training=training)
    ahead = Ahead(own.ahead, own.ahead_until)
    return _train(make, windows, None, options, ahead, device, checkpoints)


def _train(
    make: Callable[[], tuple[nn.Module, Validation]],
    windows: Windows,
    children: Children | None,
    options: RecommenderOptions,
    ahead: Ahead | None,
    device: torch.device,
    checkpoints: Checkpoints | None,
) -> Trained:
    if not len(windows):
        raise BadInput(
            "no user has two events to learn from",
            where="histories",
            expected="users of at least four events, where the last two are held out",
        )
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        network, validation = make()
        distributed.join(device)
        evaluate = validation if len(validation) else None
        task = RecommenderTask(network, windows, children, options.training, evaluate, ahead)
        loop = Loop(task, task.plan, options.seed, device, checkpoints)
        loop.run()
    return Trained(network.eval(), loop.history, _report(loop, task))


def _report(loop: Loop, task: RecommenderTask) -> dict[str, Any]:
    """Return what is said of a training."""
    kept = next(row for row in loop.history if row.step == loop.report["best_epoch"])
    validated = {n: value for n, value in kept.items() if n.startswith("validation_")}
    report = {("windows" if name == "rows" else name): v for name, v in loop.report.items()}
    return {
        **report,
        "targets": task.data.targets,
        "parameters": sum(parameter.numel() for parameter in task.module.parameters()),
        **validated,
    }
