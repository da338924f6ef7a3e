"""The items that can be recommended, with their IDs: what a recommender carries with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items, in the order of the rows of `semantic_ids.parquet`.

    Attributes:
        item_ids: Shape (n,): int64, or text as objects.
        codes: Shape (n, L), int32: the ID of each item.
        sizes: How many codes each level has.
        events: Shape (n,), int64: how often each item is among the events that were trained on.
            Items of one ID are recommended in this order, those of many events first.
        made_from: Fingerprint of the IDs.
    """

    item_ids: np.ndarray
    codes: np.ndarray
    sizes: tuple[int, ...]
    events: np.ndarray
    made_from: str = ""

    def __post_init__(self) -> None:
        n = len(self.item_ids)
        if self.codes.shape != (n, len(self.sizes)) or self.events.shape != (n,):
            raise ValueError(
                f"{n} items with codes of shape {self.codes.shape} and events of shape"
                f" {self.events.shape}"
            )

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows_of(self, item_ids: Iterable[Any]) -> np.ndarray:
        """Return the rows of items: (m,) int64, −1 for those that the catalogue does not have.

        A whole number and its decimal text are the same id.
        """
        known, back = _distinct(item_ids)
        if not len(known):
            return np.full(len(back), -1, np.int64)
        rows = [self._row_of(text, one) for text, one in zip(known, item_hash(known), strict=True)]
        return np.array(rows, dtype=np.int64)[back]

    def _row_of(self, text: str, wanted: np.uint64) -> int:
        """Return the row of an id; −1 for none. Several ids may have the same hash."""
        hashes, order = self._by_hash
        same = order[slice(*(np.searchsorted(hashes, wanted, side=s) for s in ("left", "right")))]
        return next((int(row) for row in same if str(self.item_ids[row]) == text), -1)

    def mask(self, item_ids: Iterable[Any], where: str) -> np.ndarray:
        """Mark the items of a list: (n,) bool.

        Args:
            item_ids: Their ids; those that are not in the catalogue are passed over.
            where: What errors call the list.

        Raises:
            BadInput: None of them is in the catalogue.
        """
        rows = self.rows_of(item_ids)
        if not (rows >= 0).any():
            raise BadInput(
                f"none of the {len(rows):,} items is in the catalogue",
                where=where,
                expected=f"ids of items such as {self.item_ids[0]!r}",
            )
        marked = np.zeros(len(self), dtype=bool)
        marked[rows[rows >= 0]] = True
        return marked

    @cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of the ids, ascending, and the rows that they are of."""
        hashes = item_hash(self.item_ids.tolist())
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    # ---- on disk --------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays of numbers by name; texts as the bytes of UTF-8."""
        found: dict[str, np.ndarray] = {
            "codes": self.codes.astype(np.int32),
            "events": self.events.astype(np.int64),
        }
        if self.item_ids.dtype.kind in "iu":
            return found | {"item_ids": self.item_ids.astype(np.int64)}
        texts = [str(text).encode() for text in self.item_ids]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        letters = np.frombuffer(b"".join(texts), dtype=np.uint8)
        return found | {"item_ids.bytes": letters, "item_ids.ends": ends}

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, np.ndarray], sizes: Sequence[int], made_from: str
    ) -> Catalogue:
        """Restore what `arrays` returned.

        Raises:
            KeyError, ValueError: They are no such arrays.
        """
        if "item_ids" in arrays:
            item_ids = np.asarray(arrays["item_ids"])
        else:
            ends = arrays["item_ids.ends"].tolist()
            letters = arrays["item_ids.bytes"].tobytes()
            item_ids = np.empty(len(ends), dtype=object)
            item_ids[:] = [
                letters[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)
            ]
        codes, events = np.asarray(arrays["codes"]), np.asarray(arrays["events"])
        return cls(item_ids, codes, tuple(sizes), events, made_from)


def _distinct(item_ids: Iterable[Any]) -> tuple[list[str], np.ndarray]:
    """Return the different ids as text, and for each id given its place among them."""
    place: dict[str, int] = {}
    back = [place.setdefault(str(one), len(place)) for one in item_ids]
    return list(place), np.array(back, dtype=np.int64)
