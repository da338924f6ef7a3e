"""Options of how codes become IDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class IdentifyOptions(Options):
    """Codes to unique IDs."""

    group: ClassVar[str] = "identify"

    strategy: Literal["reassign", "suffix", "none"] = option(
        "reassign",
        "reassign: every item its own last-level code, at the least added distortion. suffix: one"
        " more level, 0 where the codes are unique. none: items may share an ID.",
    )
    candidates: int = option(
        8,
        "How many other prefixes an item of an overfull prefix is offered at a time, nearest"
        " first.",
        ge=1,
    )
