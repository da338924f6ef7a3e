"""Semantic IDs: item embeddings in, short tuples of discrete codes out.

from semantic_ids import load_tokenizer

tokenizer = load_tokenizer("data/06_models/tokenizer")
codes = tokenizer.encode(vectors)     # (m, L) int32
vectors = tokenizer.decode(codes)     # (m, D) float32
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semantic_ids.tokenizers import load_tokenizer

__version__ = "0.1.0"
__all__ = ["load_tokenizer"]


def __getattr__(name: str) -> Any:
    """Import torch only when a tokenizer is asked for."""
    if name == "load_tokenizer":
        from semantic_ids.tokenizers import load_tokenizer

        return load_tokenizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
