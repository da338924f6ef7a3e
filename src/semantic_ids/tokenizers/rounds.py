"""The rounds of a fit of codebooks: taken one after the other, each recorded in the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from torch import Tensor

from semantic_ids.history import History
from semantic_ids.progress import Progress
from semantic_ids.quantization.refinement import Round


class Rounds:
    """Take the rounds of each phase and record their errors.

    Args:
        history: Where they are recorded.
        variance: Mean squared length of the vectors over all axes: what errors are relative to.
        progress: Advances by one a round.
        work: Phase → work of a round of it, in the measure of the progress; 1 where it is missing.
    """

    def __init__(
        self,
        history: History,
        variance: float,
        progress: Progress,
        work: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.history, self.variance, self.progress, self.work = history, variance, progress, work

    def take(
        self,
        phase: str,
        made: Iterator[Round],
        codebooks: list[Tensor],
        left_out: float = 0.0,
    ) -> list[Tensor]:
        """Return the codebooks after the last round, those given where there is none.

        Args:
            phase: Its name in the history.
            made: The rounds.
            codebooks: L tensors (K_l, d): before the first round.
            left_out: Mean squared length of the vectors along the axes that the phase does without:
                it counts as error, so that errors of all phases are of one space.
        """
        name = "relative_mse_unique" if phase == "unique" else "relative_mse"
        for done in made:
            codebooks = done.codebooks
            row = {name: (done.error + left_out) / self.variance, "reseeded": done.reseeded}
            if done.fullest is not None:
                row["fullest"] = done.fullest
            self.history.add(phase, row)
            self.progress.advance(1, self.work.get(phase, 1.0))
        return codebooks
