"""Which item has which ID: the content of a `semantic_ids.parquet`, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint, item_hash, order_of_items

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Mapping:
    """Items with their IDs, in the order of the item hash, which is the order of the file.

    Attributes:
        item_ids: n ids, int64 or (large) string.
        hashes: Shape (n,), uint64, ascending: `hashing.item_hash` of each.
        codes: Shape (n, W), int32: the IDs. A suffix, where there is one, is the last column.
        sizes: W sizes; `codes[:, l]` is in `[0, sizes[l])`.
        levels: The tokenizer's number of levels L: W, or W − 1 where the last is a suffix.
    """

    item_ids: pa.Array
    hashes: np.ndarray
    codes: np.ndarray
    sizes: tuple[int, ...]
    levels: int

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, ids: Codes) -> Mapping:
        """Return what an artifact `semantic_ids` maps.

        Raises:
            BadInput: Its rows are not in the order of the item hash.
        """
        hashes = item_hash(ids.item_ids.to_pylist())
        if (hashes[1:] < hashes[:-1]).any():
            raise BadInput(
                "its rows are not in the order of the item hash",
                where=f"artifact '{ids.provenance.artifact}'",
                expected="the order in which it was written",
                remake=ids.provenance.artifact,
            )
        return cls(ids.item_ids, hashes, ids.codes, tuple(ids.sizes), ids.levels)

    def take(self, rows: np.ndarray) -> Mapping:
        """Keep some items: shape (m,), ascending row numbers."""
        import pyarrow as pa

        return Mapping(
            self.item_ids.take(pa.array(rows)),
            self.hashes[rows],
            self.codes[rows],
            self.sizes,
            self.levels,
        )

    def as_codes(self, provenance: Provenance) -> Codes:
        """Return the artifact that is written, with the fingerprint of these codes as content."""
        made = Provenance(
            provenance.artifact, provenance.inputs, provenance.parameters, fingerprint(self.codes)
        )
        return Codes(self.item_ids, self.codes, self.sizes, self.levels, made)


def joined(mappings: Sequence[Mapping]) -> tuple[Mapping, np.ndarray]:
    """Put items of several mappings together, in the order of the item hash.

    Return also which row of all mappings, one after the other, each row was: (n,) int64.

    Args:
        mappings: At least one, all of one width and one type of ids, no item in two of them. The
            sizes are those of the widest.
    """
    import pyarrow as pa

    item_ids = _concatenated(mappings)
    hashes = np.concatenate([mapping.hashes for mapping in mappings])
    order = hash_order(item_ids, hashes)
    sizes = tuple(max(each) for each in zip(*(m.sizes for m in mappings), strict=True))
    codes = np.concatenate([mapping.codes for mapping in mappings])[order]
    item_ids = item_ids.take(pa.array(order))
    return Mapping(item_ids, hashes[order], codes, sizes, mappings[0].levels), order


def _concatenated(mappings: Sequence[Mapping]) -> pa.Array:
    """Return the ids of several mappings one after the other; strings may be of two types."""
    import pyarrow as pa

    kinds = {mapping.item_ids.type for mapping in mappings}
    kind = kinds.pop() if len(kinds) == 1 else pa.large_string()
    return pa.concat_arrays([mapping.item_ids.cast(kind) for mapping in mappings])


def hash_order(item_ids: pa.Array, hashes: np.ndarray) -> np.ndarray:
    """Return row numbers by item hash, equal hashes by the text of the id, as ingest orders them.

    n ids and (n,) uint64 → (n,) int64.
    """
    return order_of_items(
        hashes, lambda rows: [str(item_ids[row].as_py()) for row in rows.tolist()]
    )


def read_mapping(file: str | Path) -> Mapping:
    """Read a `semantic_ids.parquet`.

    Raises:
        BadInput: It is missing, or cannot be read.
    """
    from semantic_ids.export.ids_table import read_ids

    try:
        return Mapping.of(read_ids(file))
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"it cannot be read: {error}", where=str(file), expected="a file of semantic IDs"
        ) from error


def write_mapping(file: str | Path, mapping: Mapping, provenance: Provenance) -> None:
    """Write a `semantic_ids.parquet`; the same mapping and provenance give the same bytes."""
    from semantic_ids.export.ids_table import write_ids

    write_ids(file, mapping.as_codes(provenance), tokens=True)
