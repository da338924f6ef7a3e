"""`semantic-ids encode --unique` with items that are not published: the next generation has them.

An ID is an item's own only once it is published: another call would give the same free ID to
another item. So nothing is made up on the fly; what is asked for is appended, with all that is out
kept, and then looked up like everything else.
"""

from __future__ import annotations

import tempfile
from pathlib import Path


def append_items(bundles: Path, source: str, id_column: str, vector_column: str) -> None:
    """Publish the next generation, with the items of an input that have no ID yet.

    Items of the input that are published keep their IDs, and so do all that are not in it.

    Args:
        bundles: Folder of bundles.
        source: Parquet: a file, a folder or a pattern, checked as `ingest` checks it.
        id_column: Column of the item ids.
        vector_column: Column of the vectors.

    Raises:
        BadInput: The input is not what it should be, no ID is free, another process publishes
            there, or the disk is full; nothing is published then.
    """
    from semantic_ids.datasets.embeddings import EmbeddingsDataset
    from semantic_ids.ingestion.options import IngestOptions
    from semantic_ids.ingestion.source import ParquetSource
    from semantic_ids.ingestion.stream import open_stream
    from semantic_ids.publishing.locations import INDEX
    from semantic_ids.publishing.options import PublishOptions
    from semantic_ids.workflows import publishing
    from semantic_ids.workflows.publications import publication_of
    from semantic_ids.workflows.refreshing import churn_of

    keeping = PublishOptions(on_missing="keep", most_missing=1.0)
    before = publishing.generation_of(bundles, keeping)
    if before is None:  # `generation` has found one just now
        raise RuntimeError(f"{bundles} has no generation")
    tokenizer, history, results = publishing.trained(before.folder)
    values = before.manifest.values
    read_as = IngestOptions(
        id_column=id_column, vector_column=vector_column, dtype=values["vectors"]["dtype"]
    )
    with tempfile.TemporaryDirectory(prefix="semantic-ids-") as folder:
        stream, _ = open_stream(ParquetSource(source), read_as, nonzero=tokenizer.normalizes)
        stored = EmbeddingsDataset(str(Path(folder) / "embeddings"))
        stored.save(stream)
        embeddings = stored.load()
        codes = tokenizer.encode(embeddings.vectors)
        identify = values["identify"]
        draft = publishing.next_draft(before, embeddings, tokenizer, codes, keeping, **identify)
        churn = churn_of(draft, tokenizer, embeddings, codes, **identify)
        publication_of(
            draft,
            tokenizer,
            keeping,
            identify=identify,
            faiss=(before.folder / INDEX).is_file(),
            reports={"churn.json": churn, publishing.RESULTS: results},
            tables={publishing.HISTORY: history},
        ).publish(bundles)
