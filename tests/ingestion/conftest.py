from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from semantic_ids.hashing import vector_hash
from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.ingestion.stream import open_stream

Write = Callable[..., ParquetSource]
Ingest = Callable[..., tuple[EmbeddingStream, pa.Table]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write ids and vectors to a parquet file and return it as a source."""

    def _write(
        ids: Sequence | pa.Array,
        vectors: Sequence | np.ndarray | pa.Array,
        kind: pa.DataType | None = None,
        name: str = "items.parquet",
        group: int = 4,
    ) -> ParquetSource:
        column = (
            vectors
            if isinstance(vectors, pa.Array)
            else pa.array(list(vectors), kind or pa.list_(pa.float32()))
        )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table(
                {"ItemID": ids if isinstance(ids, pa.Array) else pa.array(ids), "embedding": column}
            ),
            path,
            row_group_size=group,
        )
        return ParquetSource(str(path))

    return _write


@pytest.fixture
def ingest() -> Ingest:
    """Open a stream with the default columns."""
    return lambda source, *, nonzero=False, **options: open_stream(
        source, IngestOptions("ItemID", "embedding", **options), nonzero=nonzero
    )


@pytest.fixture
def drain() -> Callable[[EmbeddingStream], np.ndarray]:
    """Put the vectors of a stream where they belong, each place once."""

    def _drain(stream: EmbeddingStream) -> np.ndarray:
        vectors = np.full((len(stream), stream.dim), np.nan, stream.dtype)
        for rows in stream.batches():
            assert np.isnan(vectors[rows.positions]).all()
            vectors[rows.positions] = rows.vectors
            np.testing.assert_array_equal(rows.hashes, vector_hash(rows.vectors))
        return vectors

    return _drain
