"""The training of any task, from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.threads import parts_alone
from semantic_ids.errors import BadInput
from semantic_ids.history import History
from semantic_ids.learning import distributed, resume
from semantic_ids.learning.batches import batch_sizes, own_share, shuffled
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.learning.optimizers import make_optimizer, set_rates
from semantic_ids.learning.plan import Plan
from semantic_ids.learning.selection import Selection
from semantic_ids.learning.steps import in_turn, side_by_side
from semantic_ids.learning.task import Outcome, Task
from semantic_ids.progress import Progress, report_step

logger = logging.getLogger(__name__)

ORDER, DRAWS, PARTS = 0, 1, 2
"""What a seed of an epoch is for: the order of the items, the same in all processes, and all that
each process draws; and that of a step, for what its parts draw."""


class Loop:
    """Train a task and leave it at the epoch that is to be kept.

    Args:
        task: What is trained.
        plan: How.
        seed: Seed of everything random.
        device: Where the network is.
        checkpoints: Where the state is kept, if it is.

    Attributes:
        history: One row an epoch; epoch 0 is the network before any step, where the task asks for
            it.
        report: Items, seconds, epochs, the epoch that was kept.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        seed: int,
        device: torch.device,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.task, self.plan, self.seed, self.device = task, plan, seed, device
        self.checkpoints = checkpoints
        self.selection = Selection(plan.tolerance)
        self.history = History()
        self.report: dict[str, Any] = {}

    @parts_alone()
    def run(self) -> None:
        """Train.

        Raises:
            BadInput: The loss is no longer finite, the task refuses what a validation found, or the
                checkpoint to resume from is of another training.
        """
        began, plan = time.perf_counter(), self.plan
        self.optimizer = make_optimizer(
            self.task.parts(), plan.optimizer, plan.learning_rate, plan.betas
        )
        first, seconds = self._resume()
        began -= seconds
        with Progress("train", plan.epochs, "epochs", lines=False) as progress:
            progress.advance(first - 1)
            for epoch in self._epochs(first):
                if self.task.start(epoch):
                    self._record("start", 0, self._validate(0), 0.0)
                started = time.perf_counter()
                row = self._epoch(epoch) | self._validate(epoch)
                self._record(self.task.phase, epoch, row, time.perf_counter() - started)
                progress.advance()
                if self._saves(epoch):
                    self._save(epoch, time.perf_counter() - began)
        best = self.selection.best
        if best:
            self.task.module.load_state_dict(best.state)
        self.task.finished()
        self.report = {
            "rows": len(self.task.data),
            "seconds": time.perf_counter() - began,
            "epochs": self.history[-1].step,
            "best_epoch": best.epoch if best else self.history[-1].step,
        }

    # ---- which epochs ----------------------------------------------------------------------------

    def _epochs(self, first: int) -> Iterator[int]:
        """Yield the numbers of the epochs to run.

        Where patience ends them, the epochs that the task finishes with still come, from the best
        epoch so far.
        """
        epoch = first
        while epoch <= self.plan.epochs:
            yield epoch
            best = self.selection.best
            if best is not None and self._is_settled(epoch):
                logger.info(
                    "no better than epoch %d for %d epochs: stopped, but for %d epochs at the end",
                    best.epoch,
                    epoch - best.epoch,
                    self.task.finish,
                )
                self.task.module.load_state_dict(best.state)
                epoch = self.plan.epochs - self.task.finish
            epoch += 1

    def _is_settled(self, epoch: int) -> bool:
        """Whether there was no better epoch for long, and at least one that could have been."""
        best, patience = self.selection.best, self.plan.patience
        return (
            best is not None
            and patience is not None
            and epoch < self.plan.epochs
            and epoch <= self.plan.epochs - self.task.finish
            and epoch - best.epoch >= max(patience, self.plan.validate_every)
        )

    # ---- an epoch --------------------------------------------------------------------------------

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train for one pass; losses are means over the items, taken while the weights move."""
        started, plan, task = time.perf_counter(), self.plan, self.task
        order = torch.Generator().manual_seed(self._seed(epoch, ORDER))
        draws = self._seed(epoch, DRAWS, distributed.rank())
        torch.manual_seed(draws)
        task.begin(epoch, draws)
        task.module.train()
        count = len(task.data)
        sizes = batch_sizes(count, plan.batch_rows)
        share = slice(distributed.rank(), None, distributed.world_size())
        windows = own_share(shuffled(count, plan.batch_rows, order), share)
        model, rate, total = self._model(), 0.0, plan.epochs * len(sizes)
        sums = torch.zeros(len(task.losses), dtype=torch.float64, device=self.device)
        for number, (size, (positions, batch)) in enumerate(
            zip(sizes.tolist(), task.data.batches(windows), strict=True)
        ):
            step, warmup = (epoch - 1) * len(sizes) + number, plan.warmup(len(sizes))
            rate = set_rates(self.optimizer, plan.schedule, plan.learning_rate, step, warmup, total)
            sums += self._step(model, positions, batch, size, (step, total))
        distributed.all_reduce(sums)
        means = dict(zip(task.losses, (sums / count).cpu().tolist(), strict=True))
        seconds = time.perf_counter() - started
        row = {
            "learning_rate": rate,
            **task.summary(means),
            "seconds": seconds,
            "items_per_second": count / seconds,
        }
        self._require_finite(epoch, row["loss"])
        return row

    def _step(
        self,
        model: nn.Module,
        positions: np.ndarray,
        batch: Any,
        size: int,
        progress: tuple[int, int],
    ) -> Tensor:
        """Take one step with this process's part of a batch of so many items.

        Return the sums of the task's losses.
        """
        self.optimizer.zero_grad(set_to_none=True)
        if self._side_by_side:
            seed = self._seed(progress[0], PARTS, distributed.rank())
            sums = side_by_side(self.task, self.plan, positions, batch, size, progress, seed)
        else:
            sums = in_turn(self.task, self.plan, model, positions, batch, size, progress)
        if self.plan.max_grad_norm is not None:
            learnt = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(learnt, self.plan.max_grad_norm)
        self.optimizer.step()
        return sums

    @property
    def _side_by_side(self) -> bool:
        return self.plan.part_rows is not None and self.device.type == "cpu"

    def _model(self) -> nn.Module:
        """Return what to call: with several processes, what takes the mean of their gradients."""
        if distributed.world_size() == 1 or self._side_by_side:
            return self.task.module
        return nn.parallel.DistributedDataParallel(
            self.task.module,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=self.task.has_unused,
        )

    def _seed(self, epoch: int, purpose: int, process: int = 0) -> int:
        return int(
            np.random.SeedSequence([self.seed, epoch, purpose, process]).generate_state(1)[0]
        )

    def _require_finite(self, epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise BadInput(
                f"the loss of epoch {epoch} is {loss}",
                where=self.task.name,
                expected="a finite loss",
                do=f"take a learning_rate lower than {self.plan.learning_rate:g}",
            )

    # ---- validation and records ------------------------------------------------------------------

    @torch.no_grad()
    def _validate(self, epoch: int) -> dict[str, Any]:
        """Measure the network as it is, and see whether this epoch may be kept."""
        self.task.module.eval()
        outcome: Outcome = self.task.validate(epoch)
        if outcome.score is not None and self.plan.judges(epoch):
            if outcome.supersedes:
                self.selection.restore([])
            state = self.task.module.state_dict()
            self.selection.offer(epoch, outcome.score, outcome.constraint, state)
        return outcome.values

    def _record(self, phase: str, epoch: int, row: dict[str, Any], seconds: float) -> None:
        """Record an epoch, log it, and report it."""
        record = self.history.add(phase, row, epoch)
        said, epochs = self.task.describe(record), self.plan.epochs
        if epoch == 0:
            logger.info("before training: %s", said)
        else:
            logger.info(
                "epoch %d/%d: loss %.4g, %s, %s items/s, about %s s left",
                epoch,
                epochs,
                record["loss"],
                said,
                f"{record['items_per_second']:,.0f}",
                f"{(epochs - epoch) * seconds:,.0f}",
            )
        report_step("training", record.numbers, epoch)

    # ---- resuming --------------------------------------------------------------------------------

    def _saves(self, epoch: int) -> bool:
        """Whether a checkpoint is due: not after the last epoch, nor where patience has ended it.

        So a training that is resumed ends the same.
        """
        return (
            self.checkpoints is not None
            and epoch < self.plan.epochs
            and not self._is_settled(epoch)
            and self.checkpoints.is_due(epoch)
        )

    def _save(self, epoch: int, seconds: float) -> None:
        assert self.checkpoints is not None
        state = {"seconds": seconds, "history": self.history.rows(), "task": self.task.state()}
        self.checkpoints.save(
            resume.packed(epoch, self.task.module, self.optimizer, self.selection, state)
        )

    def _resume(self) -> tuple[int, float]:
        """Resume from a checkpoint, if there is one.

        Return the epoch that comes next, and the seconds that went before.
        """
        found = resume.latest(self.checkpoints, self.device)
        if found is None:
            return 1, 0.0
        resume.unpack(found, self.task.module, self.optimizer, self.selection)
        self.task.load_state(found.state["task"])
        self.history = History(found.state["history"])
        logger.info("going on from the checkpoint of epoch %d", found.epoch)
        return found.epoch + 1, found.state["seconds"]
