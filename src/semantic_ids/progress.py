"""Progress of long work: a bar on a terminal, now and then a line with an ETA in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0

Listener = Callable[[str, Mapping[str, Any], int], None]
"""Hears of each step of long work: what it is, its numbers, and which step it is."""

_listeners: list[Listener] = []
_names: list[str] = []
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let a listener hear of all steps within."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def quiet() -> Iterator[None]:
    """Let nobody outside hear of the steps within; no line in the log, no bar.

    For work that is done on trial.
    """
    ours = logging.getLogger("semantic_ids")
    before, level = _listeners[:], ours.level
    _listeners.clear()
    ours.setLevel(logging.ERROR)
    hidden = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(hidden)
        ours.setLevel(level)
        _listeners[:] = before


@contextmanager
def reported_as(what: str) -> Iterator[None]:
    """Report the steps within under another name: those of a twin are not those of the training."""
    _names.append(what)
    try:
        yield
    finally:
        _names.pop()


def report_step(what: str, numbers: Mapping[str, Any], step: int) -> None:
    """Report the results of a step to all listeners."""
    for listener in _listeners:
        listener(_names[-1] if _names else what, numbers, step)


class Progress:
    """Report how far a piece of work is.

    On a terminal it draws a bar (with tqdm, where tqdm is installed). Elsewhere it logs a line
    every ten seconds, so that short work says nothing at all; nothing either where `lines` is off,
    for work that has lines of its own.

        with Progress("encode", total=n) as progress:
            for rows in chunks(n):
                ...
                progress.advance(rows.stop - rows.start)

    Args:
        label: What is done.
        total: Units that there are to do; None where nobody knows.
        unit: What is counted.
        lines: Whether to log lines where there is no terminal.
        work: Work of all units together, in any measure, where some are longer than others: the
            time that is left follows from it.
    """

    def __init__(
        self,
        label: str,
        total: int | None,
        unit: str = "items",
        *,
        lines: bool = True,
        work: float | None = None,
    ) -> None:
        self.label, self.total, self.unit, self.done, self.lines = label, total, unit, 0, lines
        self.work, self.worked = (total or 0) if work is None else work, 0.0
        self._bar = _terminal_bar(label, total, unit)

    def __enter__(self) -> Progress:
        self._start = self._last = time.monotonic()
        return self

    def advance(self, amount: int = 1, work: float | None = None) -> None:
        """Say that `amount` more units are done, which were so much work."""
        self.done += amount
        self.worked += amount if work is None else work
        if self._bar is not None:
            self._bar.update(amount)
        elif self.lines and time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            logger.info(self._line())

    def _line(self) -> str:
        elapsed = time.monotonic() - self._start
        of = "" if self.total is None else f" of {self.total:,}"
        said = f"{self.label}: {self.done:,}{of} {self.unit}"
        if not self.done or not elapsed:
            return said
        rate = self.done / elapsed
        pace = f"{rate:,.0f} a second" if rate >= 1 else f"{1 / rate:,.0f} s each"
        if self.total is None:
            return f"{said}, {pace}"
        left = elapsed / self.worked * (self.work - self.worked)
        return f"{said}, {pace}, about {max(0.0, left):,.0f} s left"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _terminal_bar(label: str, total: int | None, unit: str) -> Any:
    """Return a tqdm bar, or None where there is no terminal or no tqdm."""
    if _hidden.get() or not sys.stderr.isatty():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=label, unit=f" {unit}", leave=False, dynamic_ncols=True)
