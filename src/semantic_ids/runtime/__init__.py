"""Encode and decode without torch: a tokenizer's ONNX graphs, with numpy and onnxruntime alone."""

from __future__ import annotations

from semantic_ids.runtime.session import Encoder, load_encoder

__all__ = ["Encoder", "load_encoder"]
