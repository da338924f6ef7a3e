"""Events of users, put together from whatever they were read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa


@dataclass(frozen=True, eq=False)
class UserEvents:
    """Events of all users, in the order of the hash of the user's id.

    Attributes:
        users: u ids, int64 or text.
        items: Shape (m,), int32: rows of the catalogue, −1 where the item is not there.
        starts: Shape (u + 1,), int64: the events of user i are `items[starts[i]:starts[i + 1]]`.
        times: Shape (m,), int64 or float64, where there are times.
        cuts: Shape (u, 2), int64, where the files are split already: where the targets of
            validation begin, and those of the test.
        counts: What was read and what was left out, by name.
    """

    users: pa.Array
    items: np.ndarray
    starts: np.ndarray
    times: np.ndarray | None
    cuts: np.ndarray | None
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.users)

    def known(self) -> UserEvents:
        """Leave out the events whose item is not in the catalogue."""
        kept = self.items >= 0
        if kept.all():
            return self
        before = np.concatenate([[0], np.cumsum(kept)])
        return replace(
            self,
            items=self.items[kept],
            starts=before[self.starts],
            times=None if self.times is None else self.times[kept],
            cuts=None if self.cuts is None else before[self.cuts],
        )

    def of_users(self, kept: np.ndarray) -> UserEvents:
        """Leave out users: (u,) bool."""
        if kept.all():
            return self
        lengths = np.diff(self.starts)
        events = np.repeat(kept, lengths)
        starts = starts_of(lengths[kept])
        moved = starts[:-1] - self.starts[:-1][kept]
        return UserEvents(
            self.users.filter(pa.array(kept)),
            self.items[events],
            starts,
            None if self.times is None else self.times[events],
            None if self.cuts is None else self.cuts[kept] + moved[:, None],
            self.counts,
        )


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Return where each of some stretches begins, and where the last one ends: (u + 1,) int64."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
