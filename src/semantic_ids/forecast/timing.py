"""Seconds of pieces of work, and what they grow to with more rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

SHARE = 4
"""Each piece is done on a part of the rows first, this many times smaller: the difference tells
what grows with the rows from what does not."""
TRIES, SHORT_SECONDS = 3, 0.05
"""Work is done so many times, but not again once it has taken `SHORT_SECONDS`: what else the
machine does adds to it."""
ENOUGH_SECONDS = 2.0
"""A piece whose part has taken so long is not done on all rows: it is known well enough."""


@dataclass(frozen=True)
class Growth:
    """Seconds of a piece of work: some whatever the rows, and some for each row."""

    fixed: float
    each: float

    def __call__(self, rows: float) -> float:
        """Return the seconds for so many rows."""
        return self.fixed + self.each * rows

    @classmethod
    def through(cls, few: int, short: float, rows: int, whole: float) -> Growth:
        """Return the line through the seconds of few rows and of more.

        At least half of the time is taken to grow with the rows: where other work disturbs the
        measurement, an estimate for many more rows would come to nothing otherwise.
        """
        if few == rows:
            return cls(0.0, whole / rows)
        each = min(max((whole - short) / (rows - few), whole / rows / 2), whole / rows)
        return cls(whole - each * rows, each)

    def times(self, fixed: float, each: float) -> Growth:
        """Return the seconds where the two parts are so many times as large."""
        return Growth(self.fixed * fixed, self.each * each)


class Stopwatch:
    """Times pieces of work within a budget.

    Once the budget is spent, a piece is done once: it is never left out.

    Args:
        budget: Seconds.
        clock: Returns the time in seconds. That of the wall is what a run takes; processor seconds
            (`time.process_time`) compare two measurements on a machine that does other work.
    """

    def __init__(
        self, budget: float = float("inf"), clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.clock, self.began, self.budget = clock, clock(), budget

    @property
    def spent(self) -> bool:
        """Whether the budget is used up."""
        return self.clock() - self.began >= self.budget

    def seconds(self, work: Callable[[], object]) -> float:
        """Do some work, until a GPU is done with it too; return its seconds.

        Short work is done a few times, and the least counts.
        """
        found: list[float] = []
        while not found or (len(found) < TRIES and sum(found) < SHORT_SECONDS and not self.spent):
            began = self.clock()
            work()
            if torch.cuda.is_available() and torch.cuda.is_initialized():
                torch.cuda.synchronize()
            found.append(self.clock() - began)
        return max(min(found), 1e-9)

    def growth(self, work: Callable[[int], object], rows: int) -> Growth:
        """Time a piece of work that takes how many rows it is done on, `rows` at most."""
        few = max(1, rows // SHARE)
        short = self.seconds(lambda: work(few))
        if few == rows or short > ENOUGH_SECONDS:
            return Growth(0.0, short / few)
        return Growth.through(few, short, rows, self.seconds(lambda: work(rows)))
