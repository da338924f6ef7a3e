"""The training of an RQ-VAE, from top to bottom."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.devices import has_bfloat16
from semantic_ids.errors import BadInput
from semantic_ids.history import History, Record
from semantic_ids.learning import distributed
from semantic_ids.learning.batches import Prepare, Rows, batch_sizes, own_share, shuffled
from semantic_ids.learning.checkpoints import Checkpoint, Checkpoints
from semantic_ids.learning.selection import Candidate, Selection, refuse_collapse
from semantic_ids.progress import Progress, report_step
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.rq_vae.monitoring import Validation, catalogue_row
from semantic_ids.tokenizers.rq_vae.networks import Passed
from semantic_ids.tokenizers.rq_vae.optimisation import make_optimizer, set_rates, temperature
from semantic_ids.tokenizers.rq_vae.quantizer import Start

if TYPE_CHECKING:
    from semantic_ids.tokenizers.rq_vae.networks import Network
    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

logger = logging.getLogger(__name__)

ORDER, DRAWS = 0, 1
"""What a seed of an epoch is for: the order of the rows, the same in all processes, and all that
each process draws."""
UNIQUE_BYTES = 512 << 20
"""Latent vectors up to this size are held to make their codes unique."""
Unique = Callable[[Tensor, ResidualQuantizer, Tensor], Tensor]
"""Makes codes unique: latent vectors (n, d), the codebooks, the vectors' codes (n, L) → unique
codes (n, L)."""


class Trainer:
    """Train a network and leave it at the epoch that is to be kept.

    Args:
        network: Encoder, quantiser, decoder, on their device.
        options: The kind's options.
        seed: Seed of everything random.
        prepare: Prepares rows that are on the device.
        width: Width W of prepared rows.
        start: What the codebooks start from.
        unique: Makes codes unique, for the last epochs; None where they are not to be.
        checkpoints: Where the state is kept, if it is.

    Attributes:
        history: One row an epoch; epoch 0 is the network before any step, where it has codebooks
            from the beginning.
        report: Rows, seconds, epochs, the epoch that was kept.
    """

    def __init__(
        self,
        network: Network,
        options: RQVAEOptions,
        seed: int,
        prepare: Prepare,
        width: int,
        start: Start,
        unique: Unique | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.network, self.options, self.seed = network, options, seed
        self.sizes = [len(codebook) for codebook in network.quantizer.codebooks]
        self.prepare, self.width, self.start = prepare, width, start
        self.unique, self.checkpoints = unique, checkpoints
        self.device = next(network.parameters()).device
        self.selection = Selection(options.collision_tolerance)
        self.history = History()
        self.report: dict[str, Any] = {}

    def fit(self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray) -> None:
        """Train on `rows` of the vectors (n, D), watching `monitor_rows` and the catalogue.

        Raises:
            BadInput: The loss is no longer finite, a level has collapsed, or the checkpoint to go
                on from is of another training.
        """
        distributed.join(self.device)
        self.share = slice(distributed.number(), None, distributed.count())
        self.rows, self.watched = self._rows(vectors, rows), self._rows(vectors, monitor_rows)
        self.catalogue = self._rows(
            vectors, np.arange(min(len(vectors), self.options.catalogue_rows)), hold=False
        )
        self._train()

    def _rows(self, vectors: np.ndarray, rows: np.ndarray, *, hold: bool = True) -> Rows:
        return Rows(vectors, rows, self.prepare, self.device, self.width, hold=hold)

    def _train(self) -> None:
        options, began = self.options, time.perf_counter()
        self.network.rough = _computes_roughly(options.precision, self.device)
        if options.compile:
            self._compile()
        self.optimizer = make_optimizer(self.network, options)
        first, seconds = self._resume()
        began -= seconds
        with Progress("train", options.epochs, "epochs", lines=False) as progress:
            progress.advance(first - 1)
            for epoch in range(first, options.epochs + 1):
                if epoch == self._first_quantised and not self.network.quantizer.started:
                    self._start(epoch)
                started = time.perf_counter()
                phase = self._phase(epoch)
                row = self._epoch(epoch) | self._look(epoch)
                self._note(phase, epoch, row, time.perf_counter() - started)
                progress.advance()
                if epoch == options.epochs or self._is_settled(epoch):
                    break
                if self.checkpoints and self.checkpoints.is_due(epoch):
                    self.checkpoints.save(self._checkpoint(epoch, time.perf_counter() - began))
        self._keep_best()
        best = self.selection.best
        self.report = {
            "rows": len(self.rows),
            "seconds": time.perf_counter() - began,
            "epochs": self.history[-1].step,
            "best_epoch": best.epoch if best else self.history[-1].step,
        }

    def _compile(self) -> None:
        """Compile the two networks, and see that it works here.

        Raises:
            BadInput: It does not: there is no compiler, for one.
        """
        try:
            for part, width in (
                (self.network.encoder, self.width),
                (self.network.decoder, self.network.latent),
            ):
                part.compile()
                part(torch.zeros((2, width), device=self.device))
        except Exception as error:
            raise BadInput(
                f"torch.compile does not work here: {str(error).strip().partition(chr(10))[0]}",
                where="tokenizer.rq_vae.compile",
                expected="a C++ compiler, and Triton on a GPU",
                do="take tokenizer.rq_vae.compile=false",
            ) from error

    # ---- the beginning and the end ---------------------------------------------------------------

    @property
    def _first_quantised(self) -> int:
        """The epoch that begins with codebooks; without a quantiser there is none."""
        return (
            0
            if self.options.quantizer == "none"
            else 1 + min(self.options.plain_epochs, self.options.epochs - 1)
        )

    def _start(self, epoch: int) -> None:
        """Start the codebooks; where the network has them from the beginning, look at it before the
        first step.
        """
        self._start_codebooks()
        if epoch == 1:
            self._note("start", 0, self._look(0), 0.0)

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        self.network.eval()
        count = min(self.start.rows, len(self.rows))
        latents = torch.empty((count, self.network.latent), device=self.device)
        done = 0
        for x in self.rows.in_order(slice(None)):
            taken = min(len(x), count - done)
            latents[done : done + taken] = self.network.encoder(x)[:taken]
            done += taken
            if done == count:
                break
        self.network.quantizer.start(
            latents,
            min(self.options.batch_rows, len(self.rows)) / self.options.accumulate,
            self.start.make,
        )

    def _is_settled(self, epoch: int) -> bool:
        """Whether there was no better epoch for long, and at least one that could have been."""
        best, patience = self.selection.best, self.options.patience
        if (
            best is None
            or patience is None
            or epoch - best.epoch < max(patience, self.options.catalogue_every)
        ):
            return False
        logger.info(
            "no better than epoch %d for %d epochs: stopped", best.epoch, epoch - best.epoch
        )
        return True

    def _keep_best(self) -> None:
        if best := self.selection.best:
            self.network.load_state_dict(best.state)
        if not self.network.quantizer.started:
            self._start_codebooks()

    # ---- an epoch --------------------------------------------------------------------------------

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train for one pass; losses are means over the items, taken while the weights move."""
        started, resets = time.perf_counter(), self.network.quantizer.resets
        order = torch.Generator().manual_seed(self._seed(epoch, ORDER))
        draws = self._seed(epoch, DRAWS, distributed.number())
        torch.manual_seed(draws)
        if self.options.draws:
            self.network.quantizer.generator = torch.Generator(self.device).manual_seed(draws)
        self.network.train()
        sizes = batch_sizes(len(self.rows), self.options.batch_rows)
        windows = own_share(shuffled(len(self.rows), self.options.batch_rows, order), self.share)
        model, unique = self._model(), self._unique_codes() if self._is_for_unique(epoch) else None
        sums, rate = torch.zeros(3, dtype=torch.float64, device=self.device), 0.0
        for number, (size, (batch, x)) in enumerate(
            zip(sizes.tolist(), self.rows.batches(windows), strict=True)
        ):
            step = (epoch - 1) * len(sizes) + number
            rate = set_rates(self.optimizer, self.options, step, len(sizes))
            self.network.quantizer.temperature = temperature(
                self.options, step, self.options.epochs * len(sizes)
            )
            codes = None if unique is None else unique[torch.from_numpy(batch).to(self.device)]
            sums += self._step(model, x, codes, size)
        distributed.add_up(sums)
        reconstruction, commitment, codebook = (sums / len(self.rows)).cpu().tolist()
        seconds = time.perf_counter() - started
        row = {
            "learning_rate": rate,
            "loss": float(self._loss(reconstruction, commitment, codebook)),
            "reconstruction": reconstruction,
            "commitment": commitment,
            "codebook": codebook,
            "resets": self.network.quantizer.resets - resets,
            "seconds": seconds,
            "items_per_second": len(self.rows) / seconds,
        }
        if not math.isfinite(row["loss"]):
            raise BadInput(
                f"the loss of epoch {epoch} is {row['loss']}",
                where="tokenizer.rq_vae",
                expected="a finite loss",
                do=f"take a learning_rate lower than {self.options.learning_rate:g}",
            )
        return row

    def _step(self, model: nn.Module, x: Tensor, codes: Tensor | None, size: int) -> Tensor:
        """Take one step with this process's part of a batch of so many rows.

        Return the sums of its three losses.

        With codes, these are the ones that the rows are to have.
        """
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        parts = self.options.accumulate
        given = [None] * parts if codes is None else codes.tensor_split(parts)
        for part, wanted in zip(x.tensor_split(parts), given, strict=True):
            passed = model(part, wanted)
            losses = [
                self._reconstruction(part, passed),
                passed.quantized.commitment,
                passed.quantized.codebook,
            ]
            totals = [loss.sum() for loss in losses]
            (
                self._loss(*totals) * (distributed.count() / size)
            ).backward()  # processes take the mean of their gradients
            sums += torch.stack([total.detach().double() for total in totals])
        if self.options.clip is not None:
            nn.utils.clip_grad_norm_(
                [p for group in self.optimizer.param_groups for p in group["params"]],
                self.options.clip,
            )
        self.optimizer.step()
        return sums

    def _is_for_unique(self, epoch: int) -> bool:
        """Whether this epoch is one of the last, in which rows have codes of unique IDs."""
        last = self.options.epochs - max(self._first_quantised, 1) + 1
        held = len(self.rows) * self.network.latent * 4 <= UNIQUE_BYTES
        return (
            self.unique is not None
            and held
            and epoch > self.options.epochs - min(self.options.unique_epochs, last)
        )

    @torch.no_grad()
    def _unique_codes(self) -> Tensor:
        """Unique codes of all rows fitted on, as they would be now: (n, L)."""
        self.network.eval()
        z = torch.cat([self.network.encoder(x) for x in self.rows.in_order(slice(None))])
        codes = self.network.quantizer.codes(z)
        self.network.train()
        return self.unique(z, self.network.quantizer.tables(), codes) if self.unique else codes

    def _reconstruction(self, x: Tensor, passed: Passed) -> Tensor:
        """Reconstruction loss of each item: (m,)."""
        if self.options.reconstruction == "cosine":
            return 1 - nn.functional.cosine_similarity(passed.decoded, x)
        return ((passed.decoded - x) ** 2).sum(1)

    def _loss(self, reconstruction: Any, commitment: Any, codebook: Any) -> Any:
        """Weigh the losses. EMA codebooks follow averages: no loss of theirs counts."""
        weight = (
            self.options.codebook_weight
            if self.options.quantizer in ("gradient", "end_to_end")
            else 0.0
        )
        return reconstruction + self.options.commitment * commitment + weight * codebook

    def _model(self) -> nn.Module:
        """Return what to call: with several processes, what takes the mean of their gradients."""
        if distributed.count() == 1:
            return self.network
        learns = self.network.quantizer.started or self.options.quantizer in ("ema", "none")
        return nn.parallel.DistributedDataParallel(
            self.network,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            broadcast_buffers=False,
            find_unused_parameters=not learns or self.options.masking > 0,
        )

    def _seed(self, epoch: int, purpose: int, process: int = 0) -> int:
        return int(
            np.random.SeedSequence([self.seed, epoch, purpose, process]).generate_state(1)[0]
        )

    # ---- what it came to -------------------------------------------------------------------------

    @torch.no_grad()
    def _look(self, epoch: int) -> dict[str, Any]:
        """Measure the network as it is.

        Over the rows watched, and now and then over the catalogue.
        """
        self.network.eval()
        validation = Validation(self.width, self.device)
        for x in self.watched.in_order(self.share):
            validation.add(x, self.network(x))
        found = validation.row()
        squared_error, cosine_error = (
            found.pop("validation_squared_error"),
            1 - found["validation_cosine"],
        )
        row = {
            "validation_reconstruction": (
                squared_error if self.options.reconstruction == "mse" else cosine_error
            ),
            **found,
        }
        quantised = self.network.quantizer.started
        due = epoch % self.options.catalogue_every == 0 or epoch == self.options.epochs
        if quantised and due:
            row |= catalogue_row(self._catalogue_codes(), self.sizes)
        if (due and quantised) or self.options.quantizer == "none":
            self._judge(epoch, row)
        return row

    def _judge(self, epoch: int, row: dict[str, Any]) -> None:
        """Give the training up if it has collapsed, and see whether this epoch may be kept."""
        final = epoch == self.options.epochs
        if epoch < self.options.burn_in and not final:
            return
        if "collision_rate" in row:
            refuse_collapse(
                {"epoch": epoch, **row},
                self.sizes,
                len(self.catalogue),
                self.options.collapse_below,
            )
        if self._is_for_unique(
            epoch
        ):  # an epoch before it was not taught what it is to be judged by
            self.selection.restore([])
        self.selection.offer(
            epoch,
            row["validation_reconstruction"],
            row.get("collision_rate", 0.0),
            self.network.state_dict(),
        )

    def _catalogue_codes(self) -> np.ndarray:
        """Codes of the items of the catalogue, (n, L): each process finds those of its chunks."""
        found = [
            self.network.quantizer.codes(self.network.encoder(x).float())
            for x in self.catalogue.in_order(self.share)
        ]
        empty = torch.zeros((0, len(self.sizes)), dtype=torch.int64, device=self.device)
        return distributed.gathered(torch.cat([empty, *found])).cpu().numpy()

    def _phase(self, epoch: int) -> str:
        """Name the part of the training that an epoch belongs to."""
        if self._is_for_unique(epoch):
            return "unique"
        return "train" if self.network.quantizer.started else "plain"

    def _note(self, phase: str, epoch: int, row: dict[str, Any], seconds: float) -> None:
        """Record an epoch, log it, and report it."""
        record = self.history.add(phase, row, epoch)
        logger.info(_line(record, self.options.epochs, seconds))
        report_step("training", record.numbers, epoch)

    # ---- to go on where it was -------------------------------------------------------------------

    def _checkpoint(self, epoch: int, seconds: float) -> Checkpoint:
        optimizer, candidates = self.optimizer.state_dict(), self.selection.candidates
        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {
            f"optimizer/{i}/{name}": tensor
            for i, state in optimizer["state"].items()
            for name, tensor in state.items()
        }
        tensors |= {
            f"candidate/{i}/{name}": tensor
            for i, held in enumerate(candidates)
            for name, tensor in held.state.items()
        }
        state = {
            "seconds": seconds,
            "history": self.history.rows(),
            "resets": self.network.quantizer.resets,
            "param_groups": optimizer["param_groups"],
            "candidates": [{**asdict(held), "state": None} for held in candidates],
        }
        return Checkpoint(
            epoch, {name: tensor.detach().cpu() for name, tensor in tensors.items()}, state
        )

    def _resume(self) -> tuple[int, float]:
        """Go on from a checkpoint, if there is one.

        Return the epoch that comes next, and the seconds that went before.
        """
        found = self.checkpoints.latest() if self.checkpoints else None
        if found is None:
            return 1, 0.0
        self.network.load_state_dict(_below(found.tensors, "network/"))
        states = {
            i: _below(found.tensors, f"optimizer/{i}/")
            for i in _numbers(found.tensors, "optimizer/")
        }
        self.optimizer.load_state_dict(
            {"state": states, "param_groups": found.state["param_groups"]}
        )
        candidates = [
            Candidate(**{**held, "state": _below(found.tensors, f"candidate/{i}/")})
            for i, held in enumerate(found.state["candidates"])
        ]
        self.selection.restore(candidates)
        self.history = History(found.state["history"])
        self.network.quantizer.resets = found.state["resets"]
        logger.info("going on from the checkpoint of epoch %d", found.epoch)
        return found.epoch + 1, found.state["seconds"]


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _numbers(tensors: dict[str, Tensor], prefix: str) -> list[int]:
    return sorted({int(name.split("/")[1]) for name in tensors if name.startswith(prefix)})


def _computes_roughly(precision: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: with `auto` on a GPU that has it."""
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def _line(row: Record, epochs: int, seconds: float) -> str:
    parts = [
        f"validation relative MSE {row['validation_relative_mse']:.4f}",
        f"cosine {row['validation_cosine']:.4f}",
    ]
    if "collision_rate" in row:
        perplexity, dead = (
            [f"{value:.0f}" for name, value in row.items() if name.startswith(part)]
            for part in ("perplexity.", "dead.")
        )
        parts.append(
            f"colliding items {row['collision_rate']:.1%}, perplexity {' '.join(perplexity)}, dead"
            f" codes {' '.join(dead)}"
        )
    if row.step == 0:
        return f"before training: {', '.join(parts)}"
    left = (epochs - row.step) * seconds
    parts = [
        f"loss {row['loss']:.4g}",
        *parts,
        f"{row['items_per_second']:,.0f} items/s",
        f"about {left:,.0f} s left",
    ]
    return f"epoch {row.step}/{epochs}: {', '.join(parts)}"
