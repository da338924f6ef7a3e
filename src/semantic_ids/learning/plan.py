"""How a task is to be trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How a task is trained.

    Attributes:
        epochs: Passes over the data, at most.
        batch_rows: Items a step, over all processes.
        accumulate: Parts of a batch that are computed one after the other.
        part_rows: On a CPU a batch is computed in parts of about so many items, each from input to
            gradients on one thread: see `steps`. None computes it as one.
        optimizer: `adamw` or `adagrad`.
        learning_rate: Highest learning rate.
        schedule: Name in `schedules.SCHEDULES`.
        warmup_epochs: Epochs of the warm-up.
        warmup_steps: Steps of the warm-up, where it is counted in steps.
        betas: Decay of AdamW's averages of gradients and of their squares, a step.
        max_grad_norm: Gradients are clipped to this norm; None leaves them unchanged.
        precision: `auto`, `float32` or `bfloat16`, of the steps alone.
        patience: Epochs without a better one after which it stops; None never stops.
        burn_in: Epochs at the beginning that are not kept; the last one always may be.
        validate_every: Epochs between two that may be kept: patience is no shorter.
        tolerance: How far above the lowest constraint an epoch that is kept may be.
    """

    epochs: int
    batch_rows: int
    accumulate: int = 1
    part_rows: int | None = None
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_epochs: int = 0
    warmup_steps: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float | None = None
    precision: str = "auto"
    patience: int | None = None
    burn_in: int = 0
    validate_every: int = 1
    tolerance: float = 0.0

    def warmup(self, steps: int) -> int:
        """Return the steps of the warm-up, where an epoch has so many."""
        return self.warmup_steps or self.warmup_epochs * steps

    def judges(self, epoch: int) -> bool:
        """Whether an epoch is beyond the burn-in, or the last."""
        return epoch >= self.burn_in or epoch == self.epochs
