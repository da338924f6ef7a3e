"""What a generation knows of items: who has which ID, and who had one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash
from semantic_ids.publishing.mapping import Mapping, joined

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items that there are today, in the order of the item hash.

    Attributes:
        item_ids: n ids, int64 or (large) string.
        hashes: Shape (n,), uint64: `hashing.item_hash` of each.
        vector_hashes: Shape (n,), uint64: `hashing.vector_hash` of the stored vectors.
    """

    item_ids: pa.Array
    hashes: np.ndarray
    vector_hashes: np.ndarray

    @classmethod
    def of(cls, item_ids: pa.Array, vector_hashes: np.ndarray) -> Catalogue:
        """Hash the ids of items that are in the order of the item hash."""
        return cls(item_ids, item_hash(item_ids.to_pylist()), vector_hashes)

    def __len__(self) -> int:
        return len(self.hashes)


@dataclass(frozen=True, eq=False)
class State:
    """The items of a generation.

    Attributes:
        live: n items with their IDs.
        vector_hashes: Shape (n,), uint64: of their vectors.
        vector_since: Shape (n,), int32: number of the generation that first had this vector.
        retired: r items that left, with the IDs that wait for them.
        retired_in: Shape (r,), int32: number of the generation that they are first missing from.
        reserved: IDs of vocabularies before, with the items that had them: they go to nobody, not
            even to these items when they return. None where there was no refit.
    """

    live: Mapping
    vector_hashes: np.ndarray
    vector_since: np.ndarray
    retired: Mapping
    retired_in: np.ndarray
    reserved: Mapping | None = None

    @classmethod
    def first(cls, live: Mapping, vector_hashes: np.ndarray) -> State:
        """Return the state of generation 1."""
        nobody = np.zeros(0, dtype=np.int64)
        since = np.ones(len(live), dtype=np.int32)
        return cls(live, vector_hashes, since, live.take(nobody), nobody.astype(np.int32))

    @property
    def issued(self) -> np.ndarray:
        """Every ID of these codebooks' sizes that was ever issued: shape (o, W)."""
        sizes = self.live.sizes[: self.live.levels]
        every = self.every_id
        return every[(every[:, : len(sizes)] < sizes).all(axis=1)]

    @property
    def every_id(self) -> np.ndarray:
        """Every ID that was ever issued, those of larger codebooks before among them: (o, W)."""
        parts = [self.live.codes, self.retired.codes]
        return np.concatenate(parts if self.reserved is None else [*parts, self.reserved.codes])


def rows_in(item_ids: pa.Array, known: pa.Array) -> np.ndarray:
    """Return the row of each id among known ones, −1 where it is not among them: (n,) int64.

    Raises:
        BadInput: One are numbers and the others text.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    given = [pa.types.is_integer(ids.type) for ids in (item_ids, known)]
    if given[0] != given[1] and len(item_ids) and len(known):
        words = ["whole numbers" if integers else "text" for integers in given]
        raise BadInput(
            f"item ids are {words[0]}, those of the published generation are {words[1]}",
            where="artifact 'embeddings'",
            expected="the same type of ids in all generations",
            do=f"write the column of ids as {words[1]}",
        )
    if not len(known) or not len(item_ids):
        return np.full(len(item_ids), -1, dtype=np.int64)
    kind = pa.int64() if given[0] else pa.large_string()
    found = pc.index_in(item_ids.cast(kind), value_set=known.cast(kind))
    return found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def beside(state: State, other: State, number: int) -> State:
    """Note the IDs of a generation that is no ancestor, so that nobody else gets one.

    They wait for their items, as those of retired ones do.

    Args:
        state: The generation that is gone on from.
        other: One that was published beside it.
        number: Its number.
    """
    known = {code.tobytes() for code in state.issued}
    parts, numbers = [state.retired], [state.retired_in]
    for mapping in (other.live, other.retired):
        unknown = [row for row, code in enumerate(mapping.codes) if code.tobytes() not in known]
        parts.append(mapping.take(np.array(unknown, dtype=np.int64)))
        numbers.append(np.full(len(unknown), number, dtype=np.int32))
    retired, order = joined(parts)
    return replace(state, retired=retired, retired_in=np.concatenate(numbers)[order])
