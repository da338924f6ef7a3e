"""Options of how a recommender is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from semantic_ids.errors import BadInput, nearest
from semantic_ids.options import Options, option

BASELINES = ("popularity", "next", "cooccurrence", "neighbours", "sasrec")
CONTROLS = ("shuffled", "random")


@dataclass(frozen=True)
class JudgeOptions(Options):
    """What the IDs are worth: how the recommender is measured, and beside what."""

    group: ClassVar[str] = "judge"

    ks: tuple[int, ...] = option(
        (1, 5, 10, 50),
        "Lengths of the lists that Recall, NDCG and MRR are of.",
        min_length=1,
        ge=1,
    )
    beams: tuple[int, ...] = option(
        (10, 20, 50, 100),
        "Widths of the beam to compare, at recommender.decoding.k; [] for none.",
        ge=1,
    )
    baselines: tuple[str, ...] = option(
        BASELINES,
        "Recommenders that know no IDs, on the same split: popularity; next (what followed the last"
        " item); cooccurrence (what followed the last items); neighbours (the items nearest to the"
        " last ones in the embeddings); sasrec (trained, as long as the recommender); [] for none.",
    )
    controls: tuple[str, ...] = option(
        ("shuffled",),
        "The same recommender, trained again on IDs without meaning: shuffled (the same IDs, dealt"
        " to other items), random (drawn evenly, unique); [] for none. Each takes as long as the"
        " training.",
    )
    resamples: int = option(1000, "Draws of users for the 95 % intervals.", ge=2)
    slices: tuple[int, ...] = option(
        (5, 30),
        "Bounds of the slices, in events trained on of the target: by default none (cold), up to 5"
        " (tail), up to 30 (middle), more (head).",
        min_length=2,
        ge=1,
    )

    def check(self) -> None:
        """Raise `BadInput` for unknown names, and for numbers that are not ascending."""
        for name in ("ks", "beams", "slices"):
            _require_ascending(f"{self.group}.{name}", getattr(self, name))
        if len(self.slices) != 2:
            raise BadInput(
                f"{len(self.slices)} bounds", where=f"{self.group}.slices", expected="two of them"
            )
        _require_known(f"{self.group}.baselines", self.baselines, BASELINES)
        _require_known(f"{self.group}.controls", self.controls, CONTROLS)


def _require_ascending(where: str, values: Sequence[int]) -> None:
    if list(values) != sorted(set(values)):
        raise BadInput(f"{list(values)}", where=where, expected="ascending numbers, each once")


def _require_known(where: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise BadInput(
                f"'{name}'{nearest(name, known)}",
                where=where,
                expected=f"some of {', '.join(known)}",
            )
    if len(set(names)) < len(names):
        raise BadInput(f"{list(names)}", where=where, expected="each name once")
