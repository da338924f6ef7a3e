"""What is made of the seconds of pieces of work."""

from __future__ import annotations

import pytest

from semantic_ids.forecast import timing
from semantic_ids.forecast.timing import Growth, Stopwatch


class Clock:
    """A clock that work moves: seconds say what is made of them, not the machine."""

    def __init__(self) -> None:
        self.now, self.rows = 0.0, []

    def __call__(self) -> float:
        return self.now

    def work(self, seconds):
        """Return work on some rows that takes so many seconds, and notes on how many it was."""

        def do(rows):
            self.rows.append(rows)
            self.now += seconds(rows)

        return do


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize("fixed", [0.0, 0.25])
def test_what_does_not_grow_with_the_rows_is_told_from_what_does(clock, fixed):
    rows, each = 1000, 0.001
    found = Stopwatch(clock=clock).growth(clock.work(lambda m: fixed + each * m), rows)
    assert (found.fixed, found.each) == pytest.approx((fixed, each))
    assert found(10_000) == pytest.approx(fixed + each * 10_000)


@pytest.mark.parametrize("short", [0.9, 1.0, 5.0])
def test_a_disturbed_measurement_never_makes_rows_free(short):
    found = Growth.through(250, short, 1000, 1.0)
    assert found.each >= 0.5 / 1000 and found.fixed >= 0 and found(1000) == pytest.approx(1.0)


def test_one_row_is_its_own_measure(clock):
    assert Stopwatch(clock=clock).growth(clock.work(lambda _: 0.5), 1) == Growth(0.0, 0.5)


def test_the_quickest_of_a_few_tries_counts(clock):
    took = iter([0.02, 0.01, 0.015])
    do = clock.work(lambda _: next(took))
    assert Stopwatch(clock=clock).seconds(lambda: do(1)) == pytest.approx(0.01)


def test_work_that_is_long_enough_is_done_once(clock):
    do = clock.work(lambda _: timing.SHORT_SECONDS)
    Stopwatch(clock=clock).seconds(lambda: do(1))
    assert clock.rows == [1]


def test_beyond_the_budget_a_piece_is_still_done_but_once(clock):
    do = clock.work(lambda _: 0.001)
    watch = Stopwatch(0.002, clock)
    found = [watch.seconds(lambda: do(1)) for _ in range(3)]
    assert len(clock.rows) == 2 + 1 + 1 and found == pytest.approx([0.001] * 3)


def test_a_piece_stops_growing_once_it_has_taken_long(clock):
    seconds = timing.ENOUGH_SECONDS * 1.5
    found = Stopwatch(clock=clock).growth(clock.work(lambda m: seconds * m / 100), 400)
    assert clock.rows == [100] and found == Growth(0.0, pytest.approx(seconds / 100))
