"""What is recommended to all users: made while it is written, never held as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from semantic_ids.artifacts import Provenance

Lists = tuple[Any, np.ndarray, np.ndarray]
"""Ids of users (b,), an array of numpy or pyarrow; rows of their items (b, k) int64, −1 where there
are fewer; log-probabilities (b, k) float32."""


@dataclass(frozen=True, eq=False)
class Recommendations:
    """A list of items for each user.

    Attributes:
        nobody: An empty array of the type that ids of users have.
        item_ids: n ids, by row of the catalogue: an array of numpy or pyarrow.
        k: How long the lists are.
        parts: Begins to recommend, and returns the lists of some users at a time, in their order.
        provenance: What they are made from.
    """

    nobody: Any
    item_ids: Any
    k: int
    parts: Callable[[], Iterator[Lists]]
    provenance: Provenance
