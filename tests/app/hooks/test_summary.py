"""What a run ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.probe import METRICS, Project

from semantic_ids.app.hooks.summary import headlines, written
from semantic_ids.datasets import CodesDataset, FaissIndexDataset


def test_headlines_keep_their_order_and_take_what_was_measured() -> None:
    metrics = {
        "hierarchy.cohesion.2": 0.7,
        "hierarchy.cohesion.1": 0.5,
        "codes.unique_rate": 1.0,
        "codes.usage.1": 9,
        "hierarchy.cohesions": 1,
    }
    assert [name for name, _ in headlines(metrics)] == [
        "codes.unique_rate",
        "hierarchy.cohesion.2",
        "hierarchy.cohesion.1",
    ]


def test_a_run_ends_with_metrics_seconds_and_paths(
    in_project: Project, capsys: pytest.CaptureFixture
) -> None:
    in_project.session(tracking={"enabled": False})
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("metrics") :][:4] == [
        "metrics",
        "reconstruction.relative_mse 0.2500",
        "codes.max_collision 3",
        "hierarchy.cohesion.1 0.5000",
    ]
    assert [line.split()[0] for line in lines[lines.index("seconds") + 1 :][:3]] == [
        "ingest",
        "train",
        "evaluate",
    ]
    written = lines[lines.index("written") + 1 :]
    assert written[:3] == [
        "tokenizer data/06_models/tokenizer",
        "metrics data/08_reporting/metrics.json",
        "figures data/08_reporting/*.png (1)",
    ]
    assert written[3].startswith("log logs/")


def test_metrics_of_the_run_before_are_not_shown_again(
    in_project: Project, capsys: pytest.CaptureFixture
) -> None:
    from kedro.framework.session import KedroSession

    in_project.session(tracking={"enabled": False})
    capsys.readouterr()
    with KedroSession.create(
        project_path=in_project.folder, runtime_params={"tracking": {"enabled": False}}
    ) as session:
        session.run(node_names=["ingest"])
    shown = capsys.readouterr().out
    assert "ingest" in shown
    assert not any(name in shown for name in METRICS)
    assert "tokenizer" not in shown


def test_a_failed_run_shows_no_table(
    in_project: Project, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE", "defect")
    with pytest.raises(RuntimeError):
        in_project.session(tracking={"enabled": False})
    assert capsys.readouterr().out == ""


def test_what_was_not_written_is_not_listed(tmp_path: Path) -> None:
    """An index that was not asked for is saved as nothing."""
    there, missing = tmp_path / "codes.parquet", tmp_path / "index.faiss"
    there.touch()
    catalog = {
        "codes": CodesDataset(filepath=str(there)),
        "faiss_index": FaissIndexDataset(filepath=str(missing)),
    }
    assert list(written(catalog, catalog)) == ["codes"]
