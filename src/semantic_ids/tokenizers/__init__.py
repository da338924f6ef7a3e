"""Tokenizers: embeddings → codes and back. The product.

Needs numpy, torch and safetensors alone, so it runs on a bare GPU machine.
"""

from __future__ import annotations

from semantic_ids.tokenizers.registry import fit_tokenizer, load_tokenizer

__all__ = ["fit_tokenizer", "load_tokenizer"]
