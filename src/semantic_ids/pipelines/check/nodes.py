"""What the stage `check` does."""

from __future__ import annotations

from typing import Any

from semantic_ids.codes import check_sizes
from semantic_ids.ingestion import ParquetSource
from semantic_ids.ingestion.options import IngestOptions
from semantic_ids.parameters import (
    EvaluateParameters,
    IdentifyParameters,
    IngestParameters,
    TokenizerParameters,
)
from semantic_ids.pipelines.labels import labels_of


def check(
    item_embeddings: ParquetSource,
    items: Any,
    ingest: IngestParameters,
    tokenizer: TokenizerParameters,
    identify: IdentifyParameters,
    evaluate: EvaluateParameters,
) -> None:
    """Refuse what no later stage could use, by what footers, ids and parameters tell.

    A stage that is run alone still checks what concerns it.

    Raises:
        BadInput: There is no such device, the columns are not there, the codebooks cannot serve so
            many items, or the labels are of other items.
    """
    from semantic_ids.ingestion.check import check_footers
    from semantic_ids.ingestion.order import read_texts

    if tokenizer.device == "cuda":
        from semantic_ids.compute.devices import resolve

        resolve(tokenizer.device)
    check_footers(item_embeddings, IngestOptions(**ingest.model_dump()))
    taken = min(item_embeddings.rows, ingest.max_items or item_embeddings.rows)
    check_sizes(taken, tokenizer.codebook_sizes, unique=identify.strategy == "reassign")
    if items is not None:
        item_ids = read_texts(item_embeddings, ingest.id_column)
        labels_of(item_ids, items, ingest.id_column, evaluate)
