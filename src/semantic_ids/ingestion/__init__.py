"""Parquet files of any layout → checked vectors in the order of their item hash, as a stream.

Importing this room is cheap: pyarrow is imported where it is used. The work begins with
`stream.open_stream`.
"""

from semantic_ids.ingestion.source import ParquetSource
from semantic_ids.ingestion.stream import EmbeddingStream

__all__ = ["EmbeddingStream", "ParquetSource"]
