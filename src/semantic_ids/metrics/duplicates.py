"""Items with the very same vector: no quantiser can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from semantic_ids.arrays import chunks, read_rows
from semantic_ids.grouping import Partition


def equal_vectors(vectors: np.ndarray, vector_hashes: np.ndarray) -> Partition:
    """Group the items whose stored vectors are bit-identical, −0 read as 0.

    Rows whose 64-bit hash is their own are alone; only the others are read, and told apart by a
    128-bit digest of their bytes.

    Args:
        vectors: Shape (n, D).
        vector_hashes: Shape (n,), uint64, equal for equal vectors.
    """
    rows = np.flatnonzero(Partition.of(vector_hashes).shared)
    labels = np.arange(len(vectors), dtype=np.int64)
    if len(rows):
        digests = np.concatenate(
            [_digests(read_rows(vectors, rows[part], vectors.dtype)) for part in chunks(len(rows))]
        )
        labels[rows] = len(vectors) + Partition.of(digests).of_row
    return Partition.of(labels)


def _digests(vectors: np.ndarray) -> np.ndarray:
    positive = vectors + vectors.dtype.type(0)  # −0 + 0 is 0
    return np.frombuffer(
        b"".join(blake2b(row.data, digest_size=16).digest() for row in positive), dtype="S16"
    )


@dataclass(frozen=True)
class Duplicates:
    """Items whose vector is another's too.

    Attributes:
        items: How many there are.
        share: Their share of all items.
        groups: How many different vectors they have.
        largest: Items of the largest group, 1 where all vectors differ.
    """

    items: int
    share: float
    groups: int
    largest: int

    @classmethod
    def of(cls, same: Partition) -> Duplicates:
        """Count them in groups of equal vectors."""
        return cls(
            int(same.shared.sum()),
            exact_rate(same),
            int((same.sizes > 1).sum()),
            int(same.sizes.max(initial=0)),
        )

    def in_words(self) -> str:
        """Say it in a sentence."""
        if not self.items:
            return "no two items have the very same vector"
        return (
            f"{self.items:,} items ({100 * self.share:.2f} %) have a vector that another item has"
            f" too (groups: {self.groups:,}, items of the largest: {self.largest:,}). No quantiser"
            " can tell these apart: they get different IDs in the order of the item hash"
        )


def exact_rate(same: Partition) -> float:
    """Return the share of items whose vector is another's too."""
    return float(same.shared.mean())
