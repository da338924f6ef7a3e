"""What the stage `ingest` does."""

from __future__ import annotations

from typing import Any

from semantic_ids.ingestion import EmbeddingStream, ParquetSource
from semantic_ids.parameters import (
    EvaluateParameters,
    IdentifyParameters,
    IngestParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.labels import labels_of


def ingest(
    item_embeddings: ParquetSource,
    items: Any,
    ingest: IngestParameters,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
) -> tuple[EmbeddingStream, Any]:
    """Check the input as far as possible and hand the vectors on as a stream; saving it reads them.

    Returns:
        The embeddings, and a pyarrow table of the rejected rows (empty where `on_invalid` is
        `raise`).
    """
    from semantic_ids.ingestion.check import IngestOptions
    from semantic_ids.ingestion.stream import open_stream

    if tokenizer.device == "cuda":
        from semantic_ids.compute.devices import resolve

        resolve(tokenizer.device)  # a device that is not there is refused now
    options = IngestOptions(
        id_column=ingest.id_column,
        vector_column=ingest.vector_column,
        dtype=ingest.dtype,
        drop=ingest.on_invalid == "drop",
        max_items=ingest.max_items,
        codebook_sizes=tuple(tokenizer.codebook_sizes),
        unique=identify.strategy == "reassign",
        nonzero=tokenizer.preprocess.normalize,
    )
    stream, rejected = open_stream(item_embeddings, options)
    labels_of(
        stream.item_ids, items, ingest.id_column, evaluate
    )  # a file of other items is refused now, not after the training
    return stream, rejected
