"""What an RQ-VAE learns: its losses, its codebooks, the validation of its epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.streaming import send_numbers
from semantic_ids.compute.threads import pad_rows
from semantic_ids.errors import BadInput
from semantic_ids.learning import distributed
from semantic_ids.learning.batches import Prepare, Rows
from semantic_ids.learning.optimizers import Part
from semantic_ids.learning.schedules import geometric
from semantic_ids.learning.task import Outcome
from semantic_ids.quantization.costs import OnDemand
from semantic_ids.tokenizers.rq_vae.codebooks import Start
from semantic_ids.tokenizers.rq_vae.monitoring import (
    Validation,
    catalogue_row,
    described,
    refuse_collapse,
)
from semantic_ids.tokenizers.rq_vae.networks import Passed
from semantic_ids.tokenizers.rq_vae.plan import plan_of
from semantic_ids.tokenizers.unique import Unique

if TYPE_CHECKING:
    from semantic_ids.tokenizers.rq_vae.networks import Network
    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

HELD_LATENTS = 512 << 20
"""Bytes of latent vectors up to which they are held to make their codes unique; where there are
more, they are computed for those items whose codes have to change."""


class RQVAETask:
    """A network to be trained on `rows` of the vectors (n, D): see `learning.task.Task`.

    It watches `monitor_rows`, and the codes of the catalogue. Only where it learns from none of the
    rows watched are their figures called `validation_*`; else `watched_*`.

    Args:
        network: Encoder, quantiser, decoder, on their device.
        options: The kind's options.
        vectors: All vectors, an array or a memory map.
        rows: Ascending numbers of those it learns from.
        monitor_rows: Ascending numbers of those it is validated on.
        prepare: Prepares rows that are on the device.
        width: Width W of prepared rows.
        start: What the codebooks start from.
        unique: Makes codes unique, for the last epochs; None where they are not to be.
    """

    name = "tokenizer.rq_vae"
    losses = ("reconstruction", "commitment", "codebook")

    def __init__(
        self,
        network: Network,
        options: RQVAEOptions,
        vectors: np.ndarray,
        rows: np.ndarray,
        monitor_rows: np.ndarray,
        prepare: Prepare,
        width: int,
        *,
        start: Start,
        unique: Unique | None = None,
    ) -> None:
        self.module, self.options, self.plan = network, options, plan_of(options)
        self.sizes = [len(codebook) for codebook in network.quantizer.codebooks]
        self.width, self.make_start = width, start
        self.device = next(network.parameters()).device
        some = np.arange(min(len(vectors), options.selection.catalogue_rows))

        def of(wanted: np.ndarray, *, hold: bool = True) -> Rows:
            return Rows(vectors, wanted, prepare, self.device, width, hold=hold)

        self.data, self.watched, self.catalogue = of(rows), of(monitor_rows), of(some, hold=False)
        self.split = "watched" if np.isin(monitor_rows, rows).any() else "validation"
        asks = options.unique.epochs > 0 and options.codebook.quantizer != "none"
        self.unique = unique if asks else None
        self.codes: Tensor | None = None
        self.epoch_resets, self.phase = 0, "plain"
        if options.optimizer.compile:
            self._compile()

    def _compile(self) -> None:
        """Compile the two networks, and see that it works here.

        Raises:
            BadInput: It does not: there is no compiler, for one.
        """
        network = self.module
        try:
            for part, width in ((network.encoder, self.width), (network.decoder, network.latent)):
                part.compile()
                part(torch.zeros((2, width), device=self.device))
        except Exception as error:
            raise BadInput(
                f"torch.compile does not work here: {str(error).strip().partition(chr(10))[0]}",
                where="tokenizer.rq_vae.optimizer.compile",
                expected="a C++ compiler, and Triton on a GPU",
                do="take compile false",
            ) from error

    # ---- what learns -----------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """Return encoder, decoder and codebooks.

        Codebooks know no weight decay, which would pull them to zero.
        """
        options, network = self.options, self.module
        return [
            Part(
                [*network.encoder.parameters()],
                options.optimizer.encoder_rate,
                options.optimizer.weight_decay,
            ),
            Part([*network.decoder.parameters()], 1.0, options.optimizer.weight_decay),
            Part([*network.quantizer.parameters()], options.optimizer.codebook_rate),
        ]

    @property
    def has_unused(self) -> bool:
        """Whether codebooks may get no gradient: before they are started, or where masked."""
        learns = self.module.quantizer.started or self.options.codebook.quantizer in ("ema", "none")
        return not learns or self.options.codebook.masking > 0

    @property
    def _first_quantised(self) -> int:
        """The epoch that begins with codebooks; without a quantiser there is none."""
        if self.options.codebook.quantizer == "none":
            return 0
        return 1 + min(self.options.schedule.plain_epochs, self.options.schedule.epochs - 1)

    @property
    def finish(self) -> int:
        """The number of last epochs, in which items have the codes of their unique IDs."""
        if self.unique is None:
            return 0
        return min(
            self.options.unique.epochs, self.options.schedule.epochs - self._first_quantised + 1
        )

    def _is_for_unique(self, epoch: int) -> bool:
        return epoch > self.options.schedule.epochs - self.finish

    # ---- codebooks -------------------------------------------------------------------------------

    def start(self, epoch: int) -> bool:
        """Start the codebooks where this epoch is the first to have them.

        Where that is the first of all, the network is measured before it moves.
        """
        if epoch != self._first_quantised or self.module.quantizer.started:
            return False
        self._start_codebooks()
        return epoch == 1

    def finished(self) -> None:
        """Make codebooks for the latent vectors of an autoencoder."""
        if not self.module.quantizer.started:
            self._start_codebooks()

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        self.module.eval()
        count = min(self.make_start.rows, len(self.data))
        latents = torch.empty((count, self.module.latent), device=self.device)
        done = 0
        for x in self.data.in_order(slice(None)):
            taken = min(len(x), count - done)
            latents[done : done + taken] = self.module.encoder(x)[:taken]
            done += taken
            if done == count:
                break
        batch = (
            min(self.options.optimizer.batch_rows, len(self.data))
            / self.options.optimizer.accumulate
        )
        self.module.quantizer.start(latents, batch, self.make_start.make)

    # ---- a step ----------------------------------------------------------------------------------

    def begin(self, epoch: int, seed: int) -> None:
        """Begin an epoch, with unique codes where it is one for them."""
        quantizer = self.module.quantizer
        self.epoch_resets = quantizer.resets
        if self.options.draws:
            quantizer.generator = torch.Generator(self.device).manual_seed(seed)
        self.codes = self._unique_codes() if self._is_for_unique(epoch) else None
        trains = "train" if quantizer.started else "plain"
        self.phase = trains if self.codes is None else "unique"

    @torch.no_grad()
    def _unique_codes(self) -> Tensor:
        """Unique codes of all rows fitted on, as they would be now: (n, L)."""
        self.module.eval()
        network, quantizer = self.module, self.module.quantizer
        encoded = (network.encoder(x) for x in self.data.in_order(slice(None)))
        z: Tensor | OnDemand = OnDemand(self._latents, network.latent, self.device)
        if len(self.data) * network.latent * 4 <= HELD_LATENTS:
            z = torch.cat(list(encoded))
            codes = quantizer.codes(z)
        else:
            codes = torch.cat([quantizer.codes(part) for part in encoded])
        return self.unique(z, quantizer.tables(), codes) if self.unique else codes

    def _latents(self, positions: np.ndarray) -> Tensor:
        """Encode the rows at some positions: (m,) → (m, d)."""
        return self.module.encoder(pad_rows(self.data.at(positions)))[: len(positions)]

    def step(
        self, model: nn.Module, positions: np.ndarray, batch: Tensor, progress: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of some rows, (m, W), and the sums of its three parts.

        In epochs for unique codes, these are the ones that the rows are to have.
        """
        options, codes = self.options, self.codes
        self.module.quantizer.temperature = geometric(
            options.gradient.temperature, options.gradient.final_temperature, *progress
        )
        given = None if codes is None else codes[send_numbers(positions, self.device)]
        passed = model(batch, given)
        losses = [
            self._reconstruction(batch, passed),
            passed.quantized.commitment,
            passed.quantized.codebook,
        ]
        sums = [loss.sum() for loss in losses]
        return self._loss(*sums), torch.stack([part.detach().double() for part in sums])

    def _reconstruction(self, x: Tensor, passed: Passed) -> Tensor:
        """Reconstruction loss of each item: (m,)."""
        if self.options.loss.reconstruction == "cosine":
            return 1 - nn.functional.cosine_similarity(passed.decoded, x)
        return ((passed.decoded - x) ** 2).sum(1)

    def _loss(self, reconstruction: Any, commitment: Any, codebook: Any) -> Any:
        """Weigh the losses. EMA codebooks follow averages: no loss of theirs counts."""
        learns = self.options.codebook.quantizer in ("gradient", "end_to_end")
        weight = self.options.loss.codebook_weight if learns else 0.0
        return reconstruction + self.options.loss.commitment * commitment + weight * codebook

    def summary(self, means: Mapping[str, float]) -> dict[str, Any]:
        """Return the columns of an epoch's steps: its losses are means over the items."""
        return {
            "loss": float(self._loss(*means.values())),
            **means,
            "resets": self.module.quantizer.resets - self.epoch_resets,
        }

    # ---- validation ------------------------------------------------------------------------------

    def validate(self, epoch: int) -> Outcome:
        """Measure the rows watched, and now and then the catalogue.

        Raises:
            BadInput: A level has collapsed.
        """
        share = slice(distributed.rank(), None, distributed.world_size())
        validation = Validation(self.width, self.device)
        for x in self.watched.in_order(share):
            validation.add(x, self.module(x))
        row, options = validation.row(self.split, self.options.loss.reconstruction), self.options
        due = epoch % options.selection.catalogue_every == 0 or epoch == options.schedule.epochs
        quantised = self.module.quantizer.started
        if quantised and due:
            row |= catalogue_row(self._catalogue_codes(share), self.sizes)
            if self.plan.judges(epoch):
                counted = {"step": epoch, **row}
                refuse_collapse(
                    counted, self.sizes, len(self.catalogue), options.selection.collapse_below
                )
        may_be_kept = (due and quantised) or options.codebook.quantizer == "none"
        return Outcome(
            row,
            row[f"{self.split}_reconstruction"] if may_be_kept else None,
            row.get("collision_rate", 0.0),
            # an epoch before it was not taught what it is to be judged by
            supersedes=self._is_for_unique(epoch),
        )

    def _catalogue_codes(self, share: slice) -> np.ndarray:
        """Codes of the items of the catalogue, (n, L): each process finds those of its chunks."""
        found = [
            self.module.quantizer.codes(self.module.encoder(x).float())
            for x in self.catalogue.in_order(share)
        ]
        empty = torch.zeros((0, len(self.sizes)), dtype=torch.int64, device=self.device)
        return distributed.all_gather(torch.cat([empty, *found])).cpu().numpy()

    def describe(self, row: Mapping[str, Any]) -> str:
        """Write what a log says of a row of the history."""
        return described(row)

    # ---- checkpoints -----------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds beside the network."""
        return {"resets": self.module.quantizer.resets}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self.module.quantizer.resets = state["resets"]
