"""Ranked IDs → the lists of items that users see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semantic_ids.arrays import stretches


@dataclass(frozen=True, eq=False)
class ItemsById:
    """Which items have each ID, in the order in which they are recommended.

    Attributes:
        starts: Shape (m + 1,), int64: ID i is that of `rows[starts[i]:starts[i + 1]]`.
        rows: Shape (n',), int64: rows of the catalogue.
    """

    starts: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, starts: np.ndarray, rows: np.ndarray, events: np.ndarray) -> ItemsById:
        """Sort the items of each ID: those of many events first, then by row.

        Args:
            starts: As the attribute.
            rows: Shape (n',), in any order within an ID.
            events: Shape (n,): how often each item is among the events that were trained on.
        """
        of = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        return cls(starts, rows[np.lexsort((rows, -events[rows], of))])


def item_lists(
    ids: np.ndarray,
    log_probabilities: np.ndarray,
    items: ItemsById,
    k: int,
    without: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first k items of each user.

    An ID that n items have is equally that of each: its probability is divided among them.

    Args:
        ids: Shape (b, W), int64: IDs by number, the likeliest first; −1 for none.
        log_probabilities: Shape (b, W), float32.
        items: Which items have each ID.
        k: How many items.
        without: Users (p,) and rows (p,) of the items that are not for them.

    Returns:
        Rows of the catalogue (b, k) int64, −1 where there are fewer, and log-probabilities (b, k)
        float32, −inf there.
    """
    users, at = np.nonzero(ids >= 0)
    leaf = ids[users, at]
    first = items.starts[leaf]
    shared = items.starts[leaf + 1] - first
    spare = np.zeros(len(ids), dtype=np.int64)
    if without is not None:
        spare += np.bincount(without[0], minlength=len(ids))
    taken = np.minimum(shared, k + spare[users])
    of = np.repeat(np.arange(len(leaf)), taken)
    rows, user = items.rows[stretches(first, taken)], users[of]
    score = (log_probabilities[users, at] - np.log(shared))[of]
    if without is not None:
        span = max(int(items.rows.max(initial=0)), int(without[1].max(initial=0))) + 1
        keep = ~np.isin(user * span + rows, without[0] * span + without[1])
        rows, user, score = rows[keep], user[keep], score[keep]
    rank = np.arange(len(user)) - np.searchsorted(user, user)
    among = rank < k
    found = np.full((len(ids), k), -1, dtype=np.int64)
    scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    found[user[among], rank[among]] = rows[among]
    scores[user[among], rank[among]] = score[among]
    return found, scores
