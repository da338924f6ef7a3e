"""What a recommender learns, and the validation of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from semantic_ids.learning.optimizers import Part
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.task import Outcome
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.options import TrainingOptions
from semantic_ids.recommenders.windows import WindowBatch, Windows

PART_WINDOWS = 32
"""Windows that a thread of a CPU computes at a time, on average."""
BETA1 = 0.9

Evaluate = Callable[[], Mapping[str, float]]
"""Measures the network as it is: name → figure, among them `SCORE`."""
SCORE = "ndcg_at_10"


@dataclass(frozen=True)
class Ahead:
    """How targets are replaced by later ones: see `WindowBatch.ahead`.

    Attributes:
        chance: Of each, again and again.
        until: Share of the training after which none is.
    """

    chance: float
    until: float

    def counts(self, step: int, total: int) -> bool:
        """Whether targets of a step are replaced."""
        return self.chance > 0 and step < self.until * total


class RecommenderTask:
    """A network to be trained on windows: see `learning.task.Task`.

    Args:
        network: Returns the loss of each level, summed over the targets: see
            `item_level.ItemLevel.forward`.
        windows: What it learns from.
        children: The trie of all IDs; None where the network names items.
        options: How it learns.
        evaluate: Measures it; None where there is nothing to measure it on: the last epoch is then
            kept.
        ahead: When targets are later ones of their window.
    """

    name, finish, has_unused, phase = "recommender", 0, False, "train"

    def __init__(
        self,
        network: nn.Module,
        windows: Windows,
        children: Children | None,
        options: TrainingOptions,
        evaluate: Evaluate | None,
        ahead: Ahead | None = None,
    ) -> None:
        self.module, self.data, self.children, self.options = network, windows, children, options
        self.evaluate, self.ahead = evaluate, ahead
        self.losses = [f"loss.{level + 1}" for level in range(children.levels if children else 1)]
        self.per_window = windows.targets / max(1, len(windows))

    @property
    def plan(self) -> Plan:
        """How the options want it to be trained."""
        options = self.options
        return Plan(
            epochs=options.epochs,
            batch_rows=options.batch_windows,
            accumulate=options.accumulate,
            part_rows=PART_WINDOWS,
            learning_rate=options.learning_rate,
            betas=(BETA1, options.beta2),
            schedule=options.schedule,
            warmup_steps=options.warmup_steps,
            max_grad_norm=options.max_grad_norm,
            precision=options.precision,
            patience=options.patience,
            validate_every=options.evaluate_every,
        )

    def parts(self) -> list[Part]:
        """Return the matrices, which decay, and all else, which does not."""
        known = {id(m.weight) for m in self.module.modules() if isinstance(m, nn.Linear)}
        matrices = [p for p in self.module.parameters() if id(p) in known]
        others = [p for p in self.module.parameters() if id(p) not in known]
        return [Part(matrices, weight_decay=self.options.weight_decay), Part(others)]

    def start(self, epoch: int) -> bool:
        """Nothing is to be made ready."""
        return False

    def begin(self, epoch: int, seed: int) -> None:
        """Nothing is drawn but what torch and the kit draw."""

    def step(
        self, model: nn.Module, positions: np.ndarray, batch: WindowBatch, progress: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of some windows, and that of each level.

        A window counts as many items as a window has targets on average: so the sum over an epoch
        is a mean over targets, and a step is as long as its targets are many.
        """
        if self.ahead and self.ahead.counts(*progress):
            batch = batch.ahead(self.ahead.chance)
        levels = model(batch.inputs, batch.targets, self.children, self.options) / self.per_window
        return levels.sum(), levels.detach().double()

    def summary(self, means: Mapping[str, float]) -> dict[str, Any]:
        """Return the loss of an epoch, and of each of several levels."""
        return {"loss": sum(means.values()), **(means if len(means) > 1 else {})}

    def validate(self, epoch: int) -> Outcome:
        """Measure the network, every so many epochs and after the last."""
        due = epoch % self.options.evaluate_every == 0 or epoch == self.options.epochs
        if self.evaluate is None or not due:
            return Outcome({})
        found = self.evaluate()
        return Outcome(
            {f"validation_{name}": value for name, value in found.items()}, -found[SCORE]
        )

    def finished(self) -> None:
        """Nothing is left to do."""

    def describe(self, row: Mapping[str, Any]) -> str:
        """Write what a log says of a row of the history."""
        score = row.get(f"validation_{SCORE}")
        return "not evaluated" if score is None else f"validation NDCG@10 {score:.4f}"

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the network: nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
