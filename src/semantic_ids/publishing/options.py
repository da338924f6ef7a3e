"""Options of publishing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class PublishOptions(Options):
    """Generations of the IDs: what becomes of items that leave or change, and where to go on."""

    group: ClassVar[str] = "publish"

    on_missing: Literal["retire", "keep", "raise"] = option(
        "retire",
        "Items of the generation before that are not in the catalogue. retire: their IDs are kept"
        " from everybody else, and are theirs again when they return. keep: they stay published."
        " raise: stop.",
    )
    on_changed: Literal["keep", "raise"] = option(
        "keep",
        "Items whose vector is another than that of the generation before. keep: they keep their"
        " ID. raise: stop.",
    )
    most_missing: float = option(
        0.5,
        "Share of the published items that may be missing: more of them look like a catalogue that"
        " is not whole, and stop the run.",
        ge=0,
        le=1,
    )
    refresh: Literal["none", "warm", "refit"] = option(
        "none",
        "none: the published tokenizer stays. warm: its codebooks move to fit the items, and no ID"
        " does. refit: a new tokenizer and new IDs, named after the old ones where they can be.",
    )
    weight_column: str | None = option(
        None,
        "Column of numbers of the items file, such as what an item sells: churn is reported once"
        " more with each item counting so much. null: no weights.",
    )
    parent: str = option(
        "latest",
        "The generation to go on from: latest, or its name or number.",
    )
    always: bool = option(
        False, "Make a generation also where no ID is new, returns or is retired."
    )
    onnx: bool = option(
        True,
        "Put encoder.onnx and decoder.onnx into the bundle, which encode and decode without torch."
        " Needs the extra onnx.",
    )
