"""Options of an RQ-VAE: its groups, which `groups` describes, and their former names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from semantic_ids.errors import BadInput
from semantic_ids.options import Options, option
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.rq_vae.groups import (
    CodebookOptions,
    GradientOptions,
    LossOptions,
    NetworkOptions,
    OptimizerOptions,
    ScheduleOptions,
    SelectionOptions,
    UniqueOptions,
    refuse_two_draws,
)

MOVED = {
    "architecture": "network.architecture",
    "hidden": "network.hidden",
    "latent": "network.latent",
    "activation": "network.activation",
    "bias": "network.bias",
    "layer_norm": "network.layer_norm",
    "dropout": "network.dropout",
    "quantizer": "codebook.quantizer",
    "joint": "codebook.joint",
    "beam_size": "codebook.beam_size",
    "init": "codebook.init",
    "init_rows": "codebook.init_rows",
    "decay": "codebook.ema_decay",
    "smoothing": "codebook.smoothing",
    "reset_below": "codebook.reset_below",
    "masking": "codebook.masking",
    "sinkhorn": "codebook.sinkhorn",
    "sinkhorn_iterations": "codebook.sinkhorn_iterations",
    "gradient": "gradient.estimator",
    "temperature": "gradient.temperature",
    "final_temperature": "gradient.final_temperature",
    "sampling": "gradient.sampling",
    "reconstruction": "loss.reconstruction",
    "commitment": "loss.commitment",
    "codebook_weight": "loss.codebook_weight",
    "optimizer": "optimizer.name",
    "learning_rate": "optimizer.learning_rate",
    "encoder_rate": "optimizer.encoder_rate",
    "codebook_rate": "optimizer.codebook_rate",
    "weight_decay": "optimizer.weight_decay",
    "clip": "optimizer.max_grad_norm",
    "batch_rows": "optimizer.batch_rows",
    "accumulate": "optimizer.accumulate",
    "precision": "optimizer.precision",
    "compile": "optimizer.compile",
    "epochs": "schedule.epochs",
    "schedule": "schedule.shape",
    "warmup_epochs": "schedule.warmup_epochs",
    "plain_epochs": "schedule.plain_epochs",
    "patience": "selection.patience",
    "burn_in": "selection.burn_in",
    "catalogue_every": "selection.catalogue_every",
    "catalogue_rows": "selection.catalogue_rows",
    "collision_tolerance": "selection.collision_tolerance",
    "collapse_below": "selection.collapse_below",
    "unique_epochs": "unique.epochs",
}
"""Name of an option before there were groups → the one that it has now."""

UNUSED_OF_START = {
    "unique_rounds": (
        "has its own epochs for unique IDs",
        "leave it out, or set those of rq_vae: unique.epochs",
    ),
    "beam_size": (
        "uses the beam of rq_vae",
        "leave it out, or set that of rq_vae: codebook.beam_size",
    ),
    "balance": (
        "has no prices to keep its codes apart with",
        "leave it null, or take tokenizer.kind=rq_kmeans",
    ),
}
"""Options of an rq_kmeans that say nothing of a start: why, and what to do instead."""
NONE_AT_ALL = {"unique_rounds": (0,)}
"""Values of these that ask for nothing."""


@dataclass(frozen=True)
class RQVAEOptions(Options):
    """RQ-VAE: encoder, residual quantiser and decoder, trained together.

    Rajput et al., TIGER, arXiv:2305.05065.

    Raises:
        BadInput: A value that is refused, or two options that exclude each other.
    """

    group: ClassVar[str] = "tokenizer.rq_vae"

    moved: ClassVar[Mapping[str, str]] = MOVED

    network: NetworkOptions = option(NetworkOptions, "Encoder and decoder.")
    codebook: CodebookOptions = option(CodebookOptions, "The residual quantiser.")
    gradient: GradientOptions = option(GradientOptions, "The gradient past the choice of a code.")
    loss: LossOptions = option(LossOptions, "What is made small.")
    optimizer: OptimizerOptions = option(OptimizerOptions, "A step of the training.")
    schedule: ScheduleOptions = option(ScheduleOptions, "Epochs and learning rate.")
    selection: SelectionOptions = option(SelectionOptions, "Which epoch is kept.")
    unique: UniqueOptions = option(UniqueOptions, "Epochs for unique IDs.")
    start: RQKMeansOptions = option(
        RQKMeansOptions,
        "With codebook.init rq_kmeans: what fits the codebooks that training starts from.",
        elsewhere="tokenizer.rq_kmeans",
    )

    def check(self) -> None:
        """Raise `BadInput` for values that do not go together."""
        if self.gradient.estimator == "gumbel" and self.codebook.sinkhorn is not None:
            refuse_two_draws(f"codebook.sinkhorn {self.codebook.sinkhorn:g}")
        self._refuse_unused_start()

    def _refuse_unused_start(self) -> None:
        """Raise `BadInput` for values of the start that were changed and would change nothing."""
        usual, group = RQKMeansOptions(), RQKMeansOptions.group
        if self.codebook.init == "kmeans" and self.start != usual:
            raise BadInput(
                "it would have no effect: codebooks start from plain k-means",
                where=group,
                do="leave the group as it is, or take codebook.init rq_kmeans",
            )
        for name, (because, do) in UNUSED_OF_START.items():
            value = getattr(self.start, name)
            if value not in (getattr(usual, name), *NONE_AT_ALL.get(name, ())):
                raise BadInput(
                    f"{value!r} would have no effect: an rq_vae that starts from rq_kmeans"
                    f" {because}",
                    where=f"{group}.{name}",
                    do=do,
                )

    @property
    def draws(self) -> bool:
        """Whether the quantiser draws at random while training."""
        gradient = self.gradient
        return gradient.estimator == "gumbel" or gradient.sampling > 0 or self.codebook.masking > 0

    @property
    def encodes(self) -> bool:
        """Whether there is an encoder.

        A residual one that does not learn would map every vector to itself.
        """
        return self.network.architecture != "residual" or self.optimizer.encoder_rate > 0

    def latent_width(self, width: int) -> int:
        """Dimensions of what is quantised, for prepared vectors of a width."""
        return width if self.network.architecture == "residual" else self.network.latent
