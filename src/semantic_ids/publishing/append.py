"""Today's catalogue → the next generation, in which nothing that is out moves.

Items are compared by their id with those of the generation before: they are kept, new, missing, or
back from retirement (revived), and kept ones may have changed, that is have another vector. New
items get the best free IDs by exact assignment under their own prefix, and spill to others where
there is none, as de-duplication does. The result does not depend on the order of rows, but on the
history: items that come in two parts may get other IDs than those that come at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.contract import CostOracle
from semantic_ids.errors import BadInput
from semantic_ids.identifiers.costs import CostsOfSome
from semantic_ids.identifiers.deduplication import Deduplicated, Strategy, deduplicate
from semantic_ids.publishing.mapping import Mapping, joined
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.state import Catalogue, State, rows_in

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 3
"""Items that an error names."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Rows of today's catalogue and of a generation.

    Attributes:
        kept: Rows of today's items that are published, and their rows among the live ones.
        changed: Those of today's rows in `kept` whose vector is another.
        new: Rows of today's items that never had an ID.
        revived: Rows of today's items that were retired, and their rows among the retired ones.
        missing: Rows of the live items that are not there today.
    """

    kept: tuple[np.ndarray, np.ndarray]
    changed: np.ndarray
    new: np.ndarray
    revived: tuple[np.ndarray, np.ndarray]
    missing: np.ndarray

    def __len__(self) -> int:
        """How many items there are today."""
        return len(self.kept[0]) + len(self.new) + len(self.revived[0])

    def known_ids(self, state: State) -> np.ndarray:
        """Return the ID that each of today's items has or had: (n, W) int32, −1 without one."""
        ids = np.full((len(self), state.live.codes.shape[1]), -1, dtype=np.int32)
        ids[self.kept[0]] = state.live.codes[self.kept[1]]
        ids[self.revived[0]] = state.retired.codes[self.revived[1]]
        return ids

    def vector_since(self, state: State, number: int) -> np.ndarray:
        """Return the generation that first had the vector of each of today's items: (n,) int32.

        `number` is that of the generation that is being made.
        """
        since = np.full(len(self), number, dtype=np.int32)
        since[self.kept[0]] = state.vector_since[self.kept[1]]
        since[self.changed] = number
        return since

    def counts(self) -> dict[str, int]:
        """Return how many there are of each."""
        found = {"kept": self.kept[0], "new": self.new, "missing": self.missing}
        found |= {"changed": self.changed, "revived": self.revived[0]}
        return {name: len(rows) for name, rows in found.items()}


def compare(state: State, today: Catalogue) -> Comparison:
    """Tell today's items from those of a generation.

    Raises:
        BadInput: Ids of another type.
    """
    live = rows_in(today.item_ids, state.live.item_ids)
    retired = np.where(live < 0, rows_in(today.item_ids, state.retired.item_ids), -1)
    kept, back = np.flatnonzero(live >= 0), np.flatnonzero(retired >= 0)
    there = np.zeros(len(state.live), dtype=bool)
    there[live[kept]] = True
    other = today.vector_hashes[kept] != state.vector_hashes[live[kept]]
    return Comparison(
        (kept, live[kept]),
        kept[other],
        np.flatnonzero((live < 0) & (retired < 0)),
        (back, retired[back]),
        np.flatnonzero(~there),
    )


def require_allowed(
    found: Comparison, state: State, today: Catalogue, options: PublishOptions
) -> None:
    """Raise `BadInput` where items are missing or changed that may not be."""
    missing, changed = found.missing, found.changed
    if len(missing) and options.on_missing == "raise":
        raise BadInput(
            f"{len(missing):,} published items are missing, such as"
            f" {_names(state.live.item_ids, missing)}",
            where="publish.on_missing",
            expected="all items of the generation before",
            do="bring them back, or take publish.on_missing=retire or keep",
        )
    share = len(missing) / max(1, len(state.live))
    if options.on_missing == "retire" and share > options.most_missing:
        raise BadInput(
            f"{len(missing):,} of {len(state.live):,} published items ({share:.1%}) are missing",
            where="publish.most_missing",
            expected=f"the whole catalogue: at most {options.most_missing:.1%} missing",
            do="give all items and not the new ones alone, or take publish.on_missing=keep, or"
            f" publish.most_missing={min(1.0, np.ceil(share * 100) / 100):g} if they have left",
        )
    if len(changed) and options.on_changed == "raise":
        raise BadInput(
            f"{len(changed):,} published items have another vector than before, such as"
            f" {_names(today.item_ids, changed)}",
            where="publish.on_changed",
            expected="the vectors of the generation before",
            do="mend them, or take publish.on_changed=keep",
        )


@dataclass(frozen=True, eq=False)
class Appended:
    """The next generation, before it is published.

    Attributes:
        state: Its items.
        comparison: What is kept, new and gone.
        today: The catalogue that it was made for.
        ids: Shape (n, W), int32: the IDs of today's items, row by row.
        retired: How many items were retired now.
        spilled: How many of the new items found no ID under their own prefix.
    """

    state: State
    comparison: Comparison
    today: Catalogue
    ids: np.ndarray
    retired: int
    spilled: int

    @property
    def is_the_same(self) -> bool:
        """Whether the published items and their IDs are those of the generation before."""
        found = self.comparison
        return not (len(found.new) or len(found.revived[0]) or self.retired)

    def counts(self) -> dict[str, int]:
        """Return how many items there are of each sort, for the manifest and the log."""
        return self.comparison.counts() | {"retired": self.retired, "spilled": self.spilled}

    def in_words(self) -> str:
        """Say it in one line."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts().items())


def append(
    state: State,
    today: Catalogue,
    codes: np.ndarray,
    costs: CostOracle,
    options: PublishOptions,
    *,
    number: int,
    strategy: Strategy,
    candidates: int,
) -> Appended:
    """Give every item of today's catalogue an ID, and move none that is out.

    Args:
        state: The generation before.
        today: n items.
        codes: Shape (n, L), int32: what the tokenizer encodes today's vectors to.
        costs: What codes cost today's items; asked for new ones alone.
        options: What becomes of items that are missing or have changed.
        number: Number of the new generation.
        strategy: How IDs are made unique: that of the generation before.
        candidates: How many other prefixes an item of a full prefix is offered at a time.

    Raises:
        BadInput: Items are missing or changed that may not be, ids of another type, or there are
            fewer free IDs than new items.
    """
    found = compare(state, today)
    require_allowed(found, state, today, options)
    made = _placed(codes, costs, found.new, state, strategy, candidates)
    ids = found.known_ids(state)
    sizes, spilled = state.live.sizes, 0
    if made is not None:
        ids[found.new], spilled = made.codes, int(made.spilled.sum())
        sizes = tuple(map(max, sizes, made.sizes))
    live = Mapping(today.item_ids, today.hashes, ids, sizes, state.live.levels)
    keep = options.on_missing == "keep"
    after = _state(state, live, today, found, keep, number)
    return Appended(after, found, today, ids, 0 if keep else len(found.missing), spilled)


def _placed(
    codes: np.ndarray,
    costs: CostOracle,
    new: np.ndarray,
    state: State,
    strategy: Strategy,
    candidates: int,
) -> Deduplicated | None:
    """Give new items IDs that nobody has or had; None where there are no new items."""
    if not len(new):
        return None
    return deduplicate(
        codes[new],
        CostsOfSome(costs, new),
        strategy=strategy,
        candidates=candidates,
        taken=state.issued,
    )


def _state(
    before: State, live: Mapping, today: Catalogue, found: Comparison, keep: bool, number: int
) -> State:
    """Put today's items, those that stay without being there, and the retired ones together."""
    since, hashes = found.vector_since(before, number), today.vector_hashes
    waits = np.ones(len(before.retired), dtype=bool)
    waits[found.revived[1]] = False
    retired, retired_in = before.retired.take(np.flatnonzero(waits)), before.retired_in[waits]
    gone = before.live.take(found.missing)
    if len(gone) and keep:
        live, order = joined([live, gone])
        hashes = np.concatenate([hashes, before.vector_hashes[found.missing]])[order]
        since = np.concatenate([since, before.vector_since[found.missing]])[order]
    elif len(gone):
        new = np.full(len(gone), number, dtype=np.int32)
        retired, order = joined([retired, gone])
        retired_in = np.concatenate([retired_in, new])[order]
    return State(live, hashes, since, retired, retired_in, before.reserved)


def _names(item_ids: pa.Array, rows: np.ndarray) -> str:
    return ", ".join(str(item_ids[int(row)].as_py()) for row in rows[:SHOWN])
