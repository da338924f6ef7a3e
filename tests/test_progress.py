from __future__ import annotations

import logging
import sys
import time

import pytest

from semantic_ids import progress
from semantic_ids.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_long_work_logs_a_line_every_ten_seconds(caplog, clock) -> None:
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("encode", total=1000) as bar:
        for _ in range(10):
            clock[0] += 2.5
            bar.advance(100)
    assert [record.message for record in caplog.records] == [
        "encode: 400 of 1,000 items, 40 a second, about 15 s left",
        "encode: 800 of 1,000 items, 40 a second, about 5 s left",
    ]


def test_units_of_different_length_foretell_by_their_work(caplog, clock) -> None:
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("fit", total=11, unit="rounds", work=20) as bar:
        clock[0] += 120
        bar.advance(1, work=10)
        clock[0] += 12
        bar.advance(1, work=1)
    assert [record.message for record in caplog.records] == [
        "fit: 1 of 11 rounds, 120 s each, about 120 s left",
        "fit: 2 of 11 rounds, 66 s each, about 108 s left",
    ]


def test_short_work_says_nothing(caplog, clock) -> None:
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("encode", total=1000) as bar:
        clock[0] += 9.9
        bar.advance(1000)
    assert caplog.records == []
    assert bar.done == 1000


def test_nothing_done_yet_is_no_division_by_zero(caplog, clock) -> None:
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("encode", total=10, unit="epochs") as bar:
        clock[0] += 11
        bar.advance(0)
    assert "0 of 10 epochs" in caplog.text


def test_a_terminal_gets_a_bar(monkeypatch, caplog, clock, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("encode", total=4, unit="rows") as bar:
        assert bar._bar is not None
        clock[0] += 30
        bar.advance(3)
        assert bar._bar.n == 3
    assert caplog.records == []
    assert "encode" in capsys.readouterr().err


def test_a_terminal_without_tqdm_gets_lines(monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert progress._terminal_bar("encode", 1, "rows") is None


def test_an_error_passes_through() -> None:
    with pytest.raises(ValueError, match="stop"), Progress("encode", total=1):
        raise ValueError("stop")


def test_work_with_lines_of_its_own_has_only_a_bar(caplog, clock) -> None:
    caplog.set_level(logging.INFO, logger="semantic_ids.progress")
    with Progress("train", total=10, lines=False) as bar:
        clock[0] += 99
        bar.advance(5)
    assert caplog.records == [] and bar.done == 5


def test_steps_are_heard_by_whoever_listens_and_no_longer_than_that() -> None:
    first, second = [], []
    progress.report_step("training", {"loss": 9.0}, 1)
    with progress.listening(lambda *step: first.append(step)):
        with progress.listening(lambda *step: second.append(step)):
            progress.report_step("training", {"loss": 0.5}, 2)
        progress.report_step("training", {"loss": 0.25}, 3)
    progress.report_step("training", {"loss": 0.1}, 4)
    assert first == [("training", {"loss": 0.5}, 2), ("training", {"loss": 0.25}, 3)]
    assert second == first[:1]


def test_the_steps_of_a_twin_are_not_those_of_the_training() -> None:
    heard = []
    with progress.listening(lambda what, numbers, step: heard.append((what, step))):
        progress.report_step("training", {}, 1)
        with progress.reported_as("twin"):
            progress.report_step("training", {}, 1)
        progress.report_step("training", {}, 2)
    assert heard == [("training", 1), ("twin", 1), ("training", 2)]
