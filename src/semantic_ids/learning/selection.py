"""Which epoch is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Candidate:
    """An epoch that may be kept.

    Attributes:
        epoch: Its number.
        score: The lower, the better.
        constraint: A second number that must be near the lowest seen.
        state: The network after it.
    """

    epoch: int
    score: float
    constraint: float
    state: dict[str, Tensor] = field(repr=False)


class Selection:
    """Keep the epoch of the lowest score among those whose constraint is within a tolerance of the
    lowest seen.

    As the lowest is known only in the end, those that may still win are held: of two epochs, the
    one that is no better in either is dropped, and so is whoever is beyond the tolerance already.

    Args:
        tolerance: How far above the lowest seen the constraint may be.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.candidates: list[Candidate] = []

    def offer(
        self, epoch: int, score: float, constraint: float, state: Mapping[str, Tensor]
    ) -> None:
        """Take an epoch in, of which a copy is kept if it may win."""
        if any(held.score <= score and held.constraint <= constraint for held in self.candidates):
            return
        kept = [
            held for held in self.candidates if held.score < score or held.constraint < constraint
        ]
        copied = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
        kept.append(Candidate(epoch, score, constraint, copied))
        most = min(held.constraint for held in kept) + self.tolerance
        self.candidates = [held for held in kept if held.constraint <= most]

    @property
    def best(self) -> Candidate | None:
        """The epoch that would be kept now; None before the first."""
        return min(self.candidates, key=lambda held: held.score, default=None)

    def restore(self, candidates: Sequence[Candidate]) -> None:
        """Go on from candidates of a checkpoint."""
        self.candidates = list(candidates)
