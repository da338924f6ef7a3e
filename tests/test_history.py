"""The history of a fit: steps that ascend, numbers by name, what a file holds and gives back."""

from __future__ import annotations

import pytest

from semantic_ids.history import History


@pytest.fixture
def history() -> History:
    made = History()
    made.add("start", {"relative_mse": 0.9, "usage.1": 1.0})
    made.add("anneal", {"relative_mse": 0.5})
    made.add("unique", {"relative_mse_unique": 0.6, "usage.1": 0.75})
    return made


def test_steps_count_up_over_all_phases(history):
    assert [(row["step"], row["phase"]) for row in history] == [
        (1, "start"),
        (2, "anneal"),
        (3, "unique"),
    ]
    assert history.phases() == {"start": 1, "anneal": 2, "unique": 3}
    assert history.series("usage.1") == ([1, 3], [1.0, 0.75])
    assert history.names == ["relative_mse", "usage.1", "relative_mse_unique"]
    assert dict(history[-1]) == {
        "step": 3,
        "phase": "unique",
        "relative_mse_unique": 0.6,
        "usage.1": 0.75,
    }


def test_rows_have_all_columns_and_come_back(history):
    rows = history.rows()
    assert {tuple(row) for row in rows} == {("step", "phase", *history.names)}
    assert rows[1]["usage.1"] is None
    assert History(rows).rows() == rows


@pytest.mark.parametrize(
    ("phase", "numbers", "step"),
    [
        ("warm", {}, None),
        ("train", {"loss": 1.0}, 3),
        ("train", {"loss": "low"}, None),
        ("train", {"loss": None}, None),
        ("train", {"kept": True}, None),
        ("train", {"step": 4}, None),
    ],
)
def test_what_is_no_record_is_a_defect(history, phase, numbers, step):
    with pytest.raises(ValueError, match=r"phase|numbers|does not come after"):
        history.add(phase, numbers, step)
    assert len(history) == 3
