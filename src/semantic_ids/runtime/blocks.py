"""Blocks of rows on their way from a reader through a tokenizer to a writer.

Rows are read and written by one thread, in order, while others compute: few blocks are held at a
time, whatever the input is as large as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from semantic_ids.arrays import in_order
from semantic_ids.runtime.checks import Name


@dataclass(frozen=True)
class Block:
    """Some rows of an input.

    Attributes:
        values: Shape (m, W): vectors or codes.
        name: What errors call each row.
        ids: Whose rows they are, in the form of their format; None where nothing is said of that.
    """

    values: np.ndarray
    name: Name
    ids: Any = None

    def __len__(self) -> int:
        return len(self.values)


def converted(
    convert: Callable[[np.ndarray, Name], np.ndarray], blocks: Iterable[Block], threads: int
) -> Iterator[tuple[Block, np.ndarray]]:
    """Yield each block with what it becomes, in order."""
    return in_order(
        lambda block: (block, convert(block.values, block.name)), blocks, max(1, threads)
    )
