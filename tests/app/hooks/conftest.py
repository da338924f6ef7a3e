from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.probe import Project


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty tracking database: MLflow takes seconds to make one."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def in_project(tmp_path: Path, database: Path) -> Iterator[Project]:
    """A project with the small pipeline, to run in this process."""
    with Project(tmp_path / "project", database).entered() as project:
        yield project


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Callable[[], Project]:
    """Make projects for runs in processes of their own."""
    return lambda: Project(tmp_path_factory.mktemp("run") / "project", database)
