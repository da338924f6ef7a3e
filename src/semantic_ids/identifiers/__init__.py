"""Codes → unique IDs.

`deduplicate` is the way in. Everything here works on row numbers, and rows are in the order of the
item hash: "first by item hash" and "first row" are one and the same.
"""

from __future__ import annotations

from semantic_ids.identifiers.costs import TokenizerCosts
from semantic_ids.identifiers.deduplication import (
    Deduplicated,
    Strategy,
    deduplicate,
    unique_codes,
)

__all__ = ["Deduplicated", "Strategy", "TokenizerCosts", "deduplicate", "unique_codes"]
