"""Ids of users and items as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from semantic_ids.errors import BadInput
from semantic_ids.hashing import item_hash, order_of_items
from semantic_ids.ingestion.columns import is_text
from semantic_ids.ingestion.order import LARGEST_ID, STRING_BYTES, readable
from semantic_ids.ingestion.source import ParquetSource

UNKNOWN = -1
_TOGETHER = 1 << 20
"""Ids that are looked up together, at least."""
_SHOWN = 3


class Numbering:
    """Numbers ids in the order in which they are met; an integer and its text are one id.

    Ids that are added wait until there are about as many as are known already, and are then looked
    up together: each is looked up twice at most, on average.
    """

    def __init__(self) -> None:
        self._ids = pa.array([], pa.int64())
        self._waiting: list[pa.Array] = []
        self._found: list[np.ndarray] = []

    def __len__(self) -> int:
        self._look_up()
        return len(self._ids)

    def add(self, ids: pa.Array) -> None:
        """Add ids, int64 or text, none of them null."""
        self._waiting.append(ids)
        if sum(map(len, self._waiting)) >= max(_TOGETHER, len(self._ids)):
            self._look_up()

    def take(self) -> np.ndarray:
        """Return the numbers of all ids that were added since they were last taken: (b,) int32."""
        self._look_up()
        found, self._found = self._found, []
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _look_up(self) -> None:
        """Number what is waiting; all ids are text from the first text on."""
        if not self._waiting:
            return
        arrays = [self._ids, *self._waiting]
        whole = all(pa.types.is_integer(ids.type) for ids in arrays if len(ids))
        kind = pa.int64() if whole else pa.large_string()
        encoded = pa.concat_arrays([ids.cast(kind) for ids in arrays]).dictionary_encode()
        self._found.append(encoded.indices.to_numpy()[len(self._ids) :].astype(np.int32))
        self._ids, self._waiting = encoded.dictionary, []

    def name(self, number: int) -> int | str:
        """Return the id that has a number."""
        return self._ids[number].as_py()

    def in_order(self) -> tuple[pa.Array, np.ndarray]:
        """Return the ids in the order of their hash, and the place there of each number.

        Returns:
            u ids, int64 or text; shape (u,), int64.
        """
        self._look_up()
        ids = self._ids
        order = order_of_items(
            item_hash(ids.to_pylist()),
            lambda rows: [str(i) for i in ids.take(pa.array(rows)).to_pylist()],
        )
        places = np.empty(len(ids), np.int64)
        places[order] = np.arange(len(ids))
        ordered = ids.take(pa.array(order))
        fits = pa.types.is_integer(ids.type) or ordered.nbytes >= STRING_BYTES
        return ordered if fits else ordered.cast(pa.string()), places


class Catalogue:
    """Finds the rows of items by their ids; an integer and its decimal text are one id.

    Args:
        item_ids: n ids, int64 or text. None where there is no catalogue yet: every item is known
            then, by a number of its own.
    """

    def __init__(self, item_ids: pa.Array | None) -> None:
        self._any: dict[str, int] | None = {} if item_ids is None else None
        ids = pa.array([], pa.int64()) if item_ids is None else item_ids
        self._text = not pa.types.is_integer(ids.type)
        self._of_text: dict[str, int] | None = None
        self._ids = ids
        self._of_integers: tuple[np.ndarray, np.ndarray] | None = None
        self._strangers: dict[Any, None] = {}

    def rows(self, ids: pa.Array) -> np.ndarray:
        """Return the row of each id, `UNKNOWN` where it has none: shape (b,), int32."""
        encoded = ids.dictionary_encode()
        distinct, numbers = encoded.dictionary, self._any
        if numbers is not None:
            names = map(str, distinct.to_pylist())
            found = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)
            return found[encoded.indices.to_numpy()]
        integers = pa.types.is_integer(ids.type) and not self._text
        found = self._by_number(distinct.to_numpy()) if integers else self._by_text(distinct)
        if (found == UNKNOWN).any():
            for stranger in distinct.filter(pa.array(found == UNKNOWN)).to_pylist():
                self._strangers.setdefault(str(stranger), None)
        return found[encoded.indices.to_numpy()]

    @property
    def unknown_items(self) -> int:
        """How many different items are not there."""
        return len(self._strangers)

    def some_unknown(self) -> str:
        """Name a few items that are not there, in the order of their hash."""
        names = list(self._strangers)
        order = np.argsort(item_hash(names), kind="stable")[:_SHOWN]
        return ", ".join(f"'{names[number]}'" for number in order)

    def _by_number(self, ids: np.ndarray) -> np.ndarray:
        if self._of_integers is None:
            known = self._ids.to_numpy(zero_copy_only=False)
            order = np.argsort(known, kind="stable")
            self._of_integers = known[order], order.astype(np.int32)
        known, rows = self._of_integers
        if not len(known):
            return np.full(len(ids), UNKNOWN, np.int32)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        return np.where(known[at] == ids, rows[at], np.int32(UNKNOWN))

    def _by_text(self, ids: pa.Array) -> np.ndarray:
        if self._of_text is None:
            self._of_text = {str(i): row for row, i in enumerate(self._ids.to_pylist())}
        rows = self._of_text
        return np.array([rows.get(str(i), UNKNOWN) for i in ids.to_pylist()], dtype=np.int32)


def whole_ids(column: pa.Array, source: ParquetSource, start: int, what: str) -> pa.Array:
    """Return ids as int64 or text, none of them null.

    Args:
        column: Ids of rows.
        source: Where they come from.
        start: Number of the first row.
        what: What they are ids of: `user` or `item`.

    Raises:
        BadInput: One is null, empty, not UTF-8, or does not fit int64.
    """
    ids, over = readable(column, is_text(column.type), source, start, f"an id of the {what}s")
    nulls = ids.is_null().to_numpy(zero_copy_only=False)
    for mask, found, expected in (
        (nulls, f"the {what} is null", "an id in every row"),
        (over, f"the id of the {what} is larger than 2**63 - 1", f"integers up to {LARGEST_ID}"),
        (_empty(ids), f"the {what} is empty text", "an id in every row"),
    ):
        if mask.any():
            row = start + int(mask.argmax())
            raise BadInput(
                found,
                where=str(source.place(row)),
                expected=expected,
                do="leave such rows out, or mend them",
            )
    return ids


def _empty(ids: pa.Array) -> np.ndarray:
    if pa.types.is_integer(ids.type):
        return np.zeros(len(ids), bool)
    return pc.equal(ids, "").fill_null(False).to_numpy(zero_copy_only=False)
