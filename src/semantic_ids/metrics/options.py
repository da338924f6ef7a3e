"""Options of what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class EvaluateOptions(Options):
    """How good codes and IDs are."""

    group: ClassVar[str] = "evaluate"

    queries: int = option(
        1000,
        "Items whose nearest neighbours are compared, the first by item hash (all of them if there"
        " are fewer). At least 1,000 for a figure to quote.",
        ge=1,
    )
    twin: bool = option(
        False,
        "With fit_on all: fit a second tokenizer on the train split alone, to measure what new"
        " items will see. Doubles the training time.",
    )
    labels: Literal["auto"] | tuple[str, ...] = option(
        "auto",
        "Columns of the items file to hold prefixes against. auto: every text or integer column"
        " with 2 to max_label_values distinct values, and at most half as many as items.",
    )
    max_label_values: int = option(
        1000, "With labels auto: a column with more distinct values is not a label.", ge=2
    )
    min_label_share: float = option(
        0.5,
        "Fewer items than this share found in the items file means that it is not the file of these"
        " items: bad input.",
        ge=0,
        le=1,
    )
