"""Options of what is read, and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class IngestOptions(Options):
    """Parquet in, memory map out."""

    group: ClassVar[str] = "ingest"

    id_column: str = option(
        "ItemID",
        "Column of the item ids: integers or strings, unique, never null. A field of a struct is"
        " named with a dot, as `item.id`.",
    )
    vector_column: str = option(
        "embedding",
        "Column of the vectors: list, large list or fixed-size list of floats or integers.",
    )
    dtype: Literal["float32", "float16"] = option(
        "float32",
        "Storage type of the vectors. float16 halves the disk and the time to read; a value it"
        " cannot hold is bad input.",
    )
    on_invalid: Literal["raise", "drop"] = option(
        "raise",
        "What to do with an invalid row: stop with its place and reason, or write it to"
        " 02_intermediate/rejected.parquet and go on.",
    )
    max_items: int | None = option(
        None,
        "Take only this many items, the first by item hash: for a quick try. null takes all.",
        ge=1,
    )

    @property
    def drops(self) -> bool:
        """Whether invalid rows are left out and listed, rather than refused."""
        return self.on_invalid == "drop"
