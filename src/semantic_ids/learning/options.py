"""Options of what is kept of a training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class CheckpointOptions(Options):
    """What an rq_vae keeps of its training, to go on from if it is killed.

    The weights do not depend on it.
    """

    group: ClassVar[str] = "tokenizer.checkpoints"

    every: int = option(
        10, "Epochs between two checkpoints, in 06_models/checkpoints; 0 writes none.", ge=0
    )
    keep: int = option(2, "How many of the last checkpoints of a training are kept.", ge=1)
    trainings: int = option(
        8,
        "How many trainings have checkpoints at a time: beyond, those of the trainings that were"
        " written to longest ago are removed.",
        ge=1,
    )
    resume: str = option(
        "auto",
        "auto: go on from the latest checkpoint of the same data and parameters, where there is"
        " one. never: begin anew. Or the path of a checkpoint.",
    )
