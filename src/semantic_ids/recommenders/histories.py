"""Who had which items, in order, and which of these events are learned from and predicted.

An event is one item of one user. All events stand in one array, user after user; what is said of an
event is said of its position there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from semantic_ids.arrays import release, stretches
from semantic_ids.artifacts import Provenance
from semantic_ids.hashing import fingerprint, item_hash

Part = Literal["train", "valid", "test"]
"""Whose targets: those that are learned from, those that choose the epoch, those that judge it."""

_USERS = 1 << 16
"""Users whose events are looked at together."""


@dataclass(frozen=True, eq=False)
class Histories:
    """Events of all users. Nothing depends on the order of the rows or files that they came in.

    Attributes:
        users: u ids, int64 or text, as they came in: in the order of the hash of the id.
        items: Shape (m,), int32: rows of the catalogue, all events of user 0 in their order, then
            those of user 1, …; may be a memory map.
        starts: Shape (u + 1,), int64: the events of user i are `items[starts[i]:starts[i + 1]]`.
        cuts: Shape (u, 3), int64: `train_to ≤ valid_from ≤ test_from ≤ starts[i + 1]`, positions in
            `items`. Events before `train_to` are learned from; then come events that are only
            context, then the targets of validation, then, from `test_from`, those of the test.
        provenance: What they were made from: `item_ids` is the catalogue (`catalogue_of`).
        report: What was read and what was left out of it, JSON-like.
    """

    users: Sequence[Any]
    items: np.ndarray
    starts: np.ndarray
    cuts: np.ndarray
    provenance: Provenance
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.starts) != len(self.users) + 1 or self.cuts.shape != (len(self.users), 3):
            raise ValueError(
                f"{len(self.users)} users have {len(self.starts)} starts and cuts of shape"
                f" {self.cuts.shape}"
            )
        bounds = np.column_stack([self.starts[:-1], self.cuts, self.starts[1:]])
        if (
            (np.diff(bounds, axis=1) < 0).any()
            or self.starts[0]
            or self.starts[-1] != len(self.items)
        ):
            raise ValueError("the events of a user begin before those of the user before end")

    def __len__(self) -> int:
        return len(self.users)

    def targets(self, part: Part) -> np.ndarray:
        """Return the positions of the events to be predicted: shape (t,), int64, ascending.

        Args:
            part: Of `train` every event learned from but a user's first, which nothing precedes.
        """
        begin, end = {
            "train": (self.starts[:-1] + 1, self.cuts[:, 0]),
            "valid": (self.cuts[:, 1], self.cuts[:, 2]),
            "test": (self.cuts[:, 2], self.starts[1:]),
        }[part]
        return stretches(begin, np.maximum(end - begin, 0))

    def before(self, positions: np.ndarray, length: int) -> np.ndarray:
        """Return the last items that the same user had before some events.

        Args:
            positions: Shape (b,), int64.
            length: How many items T, at most.

        Returns:
            Shape (b, T), int64: rows of the catalogue in their order from column 0 on, −1 after the
            last one.
        """
        positions = np.asarray(positions, np.int64)
        first = np.maximum(self.starts[self.user_of(positions)], positions - length)
        at = first[:, None] + np.arange(length)
        there = at < positions[:, None]
        found = np.full(at.shape, -1, np.int64)
        found[there] = self.items[at[there]]
        return found

    def user_of(self, positions: np.ndarray) -> np.ndarray:
        """Return whose events some are: shape (b,), int64, numbers of users."""
        return np.searchsorted(self.starts, positions, side="right").astype(np.int64) - 1

    def training_counts(self, items: int) -> np.ndarray:
        """Return how often each item is among the events that are learned from: shape (n,), int64.

        Args:
            items: Number of items n in the catalogue.
        """
        counts = np.zeros(items, np.int64)
        for users, events in self._blocks():
            begin = self.starts[users]
            trained = stretches(begin, self.cuts[users, 0] - begin)
            rows = np.asarray(self.items[events])[trained - events.start]
            counts += np.bincount(rows, minlength=items)
            release(self.items)
        return counts

    def _blocks(self) -> Iterator[tuple[np.ndarray, slice]]:
        """Yield the numbers of some users, and where their events are."""
        for begin in range(0, len(self), _USERS):
            users = np.arange(begin, min(begin + _USERS, len(self)))
            yield users, slice(int(self.starts[users[0]]), int(self.starts[users[-1] + 1]))


def catalogue_of(item_ids: Iterable[int | str]) -> Provenance:
    """Return what stands for the items that histories are of, whatever IDs these have.

    Args:
        item_ids: n ids in the order of their rows.
    """
    return Provenance("item_ids", content=fingerprint(item_hash(item_ids)))


def content_of(
    users: Iterable[int | str], items: np.ndarray, starts: np.ndarray, cuts: np.ndarray
) -> str:
    """Return the fingerprint of the content of histories: see the attributes of `Histories`."""
    return fingerprint(
        item_hash(users),
        items.astype(np.int32, copy=False),
        starts.astype(np.int64, copy=False),
        cuts.astype(np.int64, copy=False),
    )
