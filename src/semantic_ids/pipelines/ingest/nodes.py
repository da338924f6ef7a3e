"""What the stage `ingest` does."""

from __future__ import annotations

from typing import Any

from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.parameters import IngestParameters


def ingest(
    item_embeddings: ParquetSource, ingest: IngestParameters, nonzero: bool
) -> tuple[EmbeddingStream, Any]:
    """Check the input as far as possible and hand the vectors on as a stream; saving it reads them.

    Args:
        item_embeddings: The files.
        ingest: What is read, and how it is stored.
        nonzero: Whether zero vectors are invalid.

    Returns:
        The embeddings, and a pyarrow table of the rejected rows (empty where `on_invalid` is
        `raise`).
    """
    from semantic_ids.ingestion.stream import open_stream

    return open_stream(item_embeddings, IngestOptions(**ingest.model_dump()), nonzero=nonzero)
