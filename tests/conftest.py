"""Fixtures of the whole suite.

Data that has structure, and runs of the project's own pipelines below a temporary folder.
"""

from __future__ import annotations

import os

# Many small products: threads would only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


def clustered(n: int, dim: int, seed: int = 0, clusters: int = 20) -> np.ndarray:
    """Vectors around a few centres, (n, dim) float32: what embeddings look like."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    return (centres[rng.integers(0, clusters, n)] + 0.5 * rng.normal(size=(n, dim))).astype(
        np.float32
    )


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    """Small clustered vectors that the tests of several rooms share."""
    return clustered(700, 12, seed=1)


@pytest.fixture
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run pipelines of the project in the `test` environment, with everything written below
    `tmp_path`.

    `run("tokenize", params={"tokenizer.kind": "rq_vae"})` returns what is left in memory; read the
    files below `tmp_path / "data"`.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    def _run(
        *pipelines: str, env: str = "test", params: dict[str, Any] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        bootstrap_project(ROOT)
        values: dict[str, Any] = {
            "data_root": str(tmp_path / "data"),
            "logs": {"folder": str(tmp_path / "logs")},
        }
        for key, value in (params or {}).items():
            target = values
            *groups, name = key.split(".")
            for group in groups:
                target = target.setdefault(group, {})
            target[name] = value
        with KedroSession.create(project_path=ROOT, env=env, runtime_params=values) as session:
            return session.run(pipeline_names=list(pipelines), **kwargs)

    return _run
