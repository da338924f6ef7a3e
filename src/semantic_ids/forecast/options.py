"""Options of what is told before training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class AdviceOptions(Options):
    """What is told before training of how full the ID space will be.

    Nothing that is fitted depends on it.
    """

    group: ClassVar[str] = "advice"

    pilot_items: int = option(
        16384,
        "Items of the pilot, a rough residual k-means whose codes tell how many items will share"
        " theirs and which codebook sizes would do: the first by item hash (all of them if there"
        " are fewer). Fewer than 48 a code of the largest codebook make it rougher. 0 for no"
        " forecast of codes; time and memory are estimated all the same.",
        ge=0,
    )
