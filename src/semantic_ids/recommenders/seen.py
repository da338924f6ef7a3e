"""What users had before, and lists without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semantic_ids.recommenders.histories import Histories


@dataclass(frozen=True, eq=False)
class Seen:
    """Different items that each of b users had.

    Attributes:
        users: Shape (p,), int64, ascending, from 0 and below b.
        rows: Shape (p,), int64: rows of the items, ascending for each user.
        counts: Shape (b,), int64: how many items each user had.
    """

    users: np.ndarray
    rows: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, histories: np.ndarray) -> Seen:
        """Take what is in histories: (b, T), padded with −1."""
        users, column = np.nonzero(histories >= 0)
        rows = histories[users, column]
        span = int(rows.max(initial=0)) + 1
        users, rows = np.divmod(np.unique(users * span + rows), span)
        return cls(users, rows, np.bincount(users, minlength=len(histories)))

    @classmethod
    def before(cls, histories: Histories, positions: np.ndarray) -> Seen:
        """Take all that came before some events, however long ago: positions (b,)."""
        earlier = positions - histories.starts[histories.user_of(positions)]
        return cls.of(histories.before(positions, int(earlier.max(initial=0))))

    def holds(self, rows: np.ndarray) -> np.ndarray:
        """Whether each user had an item: (b,) → (b,) bool."""
        return self.among(rows[:, None])[:, 0]

    def among(self, lists: np.ndarray) -> np.ndarray:
        """Which items of lists the users had: (b, W) → (b, W) bool."""
        span = max(int(lists.max(initial=0)), int(self.rows.max(initial=0))) + 1
        keys = np.arange(len(lists))[:, None] * span + lists
        return np.isin(keys, self.users * span + self.rows) & (lists >= 0)


def drop_items(lists: np.ndarray, seen: Seen) -> np.ndarray:
    """Take seen items out of lists, whose ends are then empty (−1): (b, W) → (b, W)."""
    (kept,) = moved_up(~seen.among(lists) & (lists >= 0), (lists, -1))
    return kept


def drop_ids(
    ids: np.ndarray, sizes: np.ndarray, scores: np.ndarray, seen: Seen, id_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take seen items out of ranked IDs, and the IDs of which nothing is left then.

    Args:
        ids: Shape (b, W): the IDs of each list, −1 where there are fewer.
        sizes: Shape (b, W): how many items each has.
        scores: Shape (b, W), float32.
        seen: What is taken out.
        id_of: Shape (n,): the ID of each item, −1 where it has none among these.

    Returns:
        IDs, how many items of each are left, and scores: (b, W) each; −1, 0 and −∞ at the ends.
    """
    of = id_of[seen.rows]
    span = max(int(ids.max(initial=0)), int(of.max(initial=0))) + 1
    taken, times = np.unique((seen.users * span + of)[of >= 0], return_counts=True)
    keys = np.arange(len(ids))[:, None] * span + ids
    place = np.minimum(np.searchsorted(taken, keys), max(0, len(taken) - 1))
    if len(taken):
        sizes = sizes - np.where((taken[place] == keys) & (ids >= 0), times[place], 0)
    moved = moved_up((sizes > 0) & (ids >= 0), (ids, -1), (sizes, 0), (scores, -np.inf))
    return moved[0], moved[1], moved[2]


def moved_up(kept: np.ndarray, *arrays: tuple[np.ndarray, float]) -> tuple[np.ndarray, ...]:
    """Move what is kept to the front of each row, in its order, and fill up with a value."""
    order = np.argsort(~kept, axis=1, kind="stable")
    kept = np.take_along_axis(kept, order, axis=1)
    return tuple(
        np.where(kept, np.take_along_axis(array, order, axis=1), array.dtype.type(fill))
        for array, fill in arrays
    )
