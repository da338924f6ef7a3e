"""Which epoch is kept, and which training is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from semantic_ids.errors import BadInput


@dataclass
class Candidate:
    """An epoch that may be kept.

    Attributes:
        epoch: Its number.
        score: Validation loss of the reconstruction.
        collision_rate: Share of the items of the catalogue that share their codes.
        state: The network after it.
    """

    epoch: int
    score: float
    collision_rate: float
    state: dict[str, Tensor] = field(repr=False)


class Selection:
    """Keep the epoch of the lowest score among those whose collision rate is within a tolerance of
    the lowest seen.

    As the lowest is known only in the end, those that may still win are held: of two epochs, the
    one that is no better in either is dropped, and so is whoever is beyond the tolerance already.

    Args:
        tolerance: How much more of the items may share their codes than at the lowest seen.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.candidates: list[Candidate] = []

    def offer(
        self, epoch: int, score: float, collision_rate: float, state: Mapping[str, Tensor]
    ) -> None:
        """Take an epoch in, of which a copy is kept if it may win."""
        if any(
            held.score <= score and held.collision_rate <= collision_rate
            for held in self.candidates
        ):
            return
        kept = [
            held
            for held in self.candidates
            if held.score < score or held.collision_rate < collision_rate
        ]
        copied = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
        kept.append(Candidate(epoch, score, collision_rate, copied))
        most = min(held.collision_rate for held in kept) + self.tolerance
        self.candidates = [held for held in kept if held.collision_rate <= most]

    @property
    def best(self) -> Candidate | None:
        """The epoch that would be kept now; None before the first."""
        return min(self.candidates, key=lambda held: held.score, default=None)

    def restore(self, candidates: Sequence[Candidate]) -> None:
        """Go on from candidates of a checkpoint."""
        self.candidates = list(candidates)


def refuse_collapse(row: Mapping[str, Any], sizes: Sequence[int], items: int, least: float) -> None:
    """Raise `BadInput` where the items of the catalogue use a level as if it had less than a share
    `least` of its codes.
    """
    for level, size in enumerate(sizes, start=1):
        possible = min(size, items)
        if row[f"perplexity.{level}"] < least * possible:
            raise BadInput(
                f"level {level} has collapsed in epoch {row['epoch']}: {row[f'dead.{level}']} of"
                f" its {size} codes are dead, and the catalogue uses it as if it had"
                f" {row[f'perplexity.{level}']:.1f} codes",
                where="tokenizer.rq_vae",
                expected=(
                    f"a perplexity of at least {least:g} × {possible} = {least * possible:g}"
                    " (collapse_below)"
                ),
                do=(
                    "take a lower learning_rate or encoder_rate, a higher reset_below or"
                    " commitment, init rq_kmeans, or smaller codebooks; if the vectors are this"
                    " alike, lower collapse_below"
                ),
            )
