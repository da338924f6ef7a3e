"""A small data set on disk, as `benchmarks.data.prepare` leaves it, and systems that need no
library.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.data import DataSet, prepare
from benchmarks.rows import Task
from benchmarks.systems import System, given

from tests.conftest import clustered

SIZES = (8, 4, 8)


class Remembering(System):
    """Codebooks are the first vectors it is given; it remembers all that it was fitted on."""

    name, title, package, modules = "remembering", "Remembering", "numpy", ("numpy",)

    def __init__(self, *, quick=False):
        super().__init__(quick=quick)
        self.fitted_on = []

    def choose(self, quick):
        return {"rounds": 1 if quick else 2}

    def fit(self, vectors, codebook_sizes, seed):
        self.fitted_on.append(np.array(vectors))
        codebooks = [np.array(vectors[:size]) / 3 for size in codebook_sizes]
        first = sum(codebook[0] for codebook in codebooks)

        def encode(x):
            return (
                np.argmin(((np.asarray(x)[:, None] - first) ** 2).sum(2), 1)[:, None]
                .repeat(len(codebook_sizes), 1)
                .astype(np.int32)
            )

        return given(codebooks, encode)


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return clustered(200, 12, seed=5)


@pytest.fixture(scope="session")
def folder(vectors, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("benchmarks") / "items.parquet"
    pq.write_table(pa.table({"ItemID": np.arange(len(vectors)), "embedding": list(vectors)}), path)
    into = path.parent / "embeddings"
    assert (
        prepare(DataSet("sample", "Small", path, lambda folder, quick: path), into, quick=False)
        == vectors.shape
    )
    assert path.exists()
    return into


@pytest.fixture
def task(folder) -> Task:
    return Task("sample", str(folder), "remembering", SIZES, 0, quick=True)


@pytest.fixture
def remembering() -> type[System]:
    return Remembering
