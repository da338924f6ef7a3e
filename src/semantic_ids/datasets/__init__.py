"""How artifacts rest on disk.

Each class is in a module of its own and is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "BundlesDataset": "bundles",
    "CheckpointsDataset": "checkpoints",
    "CodesDataset": "codes",
    "EarlierDataset": "earlier",
    "EmbeddingsDataset": "embeddings",
    "FaissIndexDataset": "faiss_index",
    "FigureDataset": "figure",
    "HfTokenizerDataset": "hf_tokenizer",
    "HistoriesDataset": "histories",
    "HistorySourceDataset": "history_source",
    "ItemsByIdDataset": "items_by_id",
    "JsonDataset": "json",
    "LabelsDataset": "labels",
    "MappingsDataset": "mappings",
    "OnnxGraphsDataset": "onnx_graphs",
    "ParquetSourceDataset": "parquet_source",
    "PublishedDataset": "bundles",
    "RecommendationsDataset": "recommendations",
    "RecommenderDataset": "recommender",
    "SplitDataset": "split",
    "TableDataset": "table",
    "TokenizerDataset": "tokenizer",
    "TrieDataset": "trie",
    "VocabularyDataset": "vocabulary",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import the module of a dataset."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
