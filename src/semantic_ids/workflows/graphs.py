"""A tokenizer → two ONNX graphs, which encode and decode without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.atomic import atomic_file
from semantic_ids.tokenizers.format import GRAPH_FILES

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

FORMAT = 1
"""Of the metadata; rises when a graph can no longer be run as before."""
EXAMPLE_ROWS = 3
"""Rows of the example that is traced: neither 0 nor 1, which an exporter takes for constants."""


def tokenizer_graphs(tokenizer: ResidualTokenizer) -> dict[str, bytes]:
    """Write a tokenizer as two graphs: `encoder` and `decoder`.

    `encoder` maps `vectors` (batch, D) float32 to `codes` (batch, L) int32, `decoder` maps them
    back; the batch may have any number of rows. They check nothing: NaN, a vector of zeros that is
    to be brought to unit length, and codes that are not there give any answer.

    Raises:
        BadInput: The packages that write graphs are not installed.
    """
    import torch

    from semantic_ids.export.onnx_graphs import graph
    from semantic_ids.tokenizers.graphs import DecoderGraph, EncoderGraph

    device = tokenizer.device.type
    tokenizer.to("cpu")
    try:
        about = _about(tokenizer)
        vectors = torch.zeros((EXAMPLE_ROWS, tokenizer.dim))
        codes = torch.zeros((EXAMPLE_ROWS, len(tokenizer.codebook_sizes)), dtype=torch.int32)
        return {
            "encoder": graph(EncoderGraph(tokenizer), vectors, "vectors", "codes", about),
            "decoder": graph(DecoderGraph(tokenizer), codes, "codes", "vectors", about),
        }
    finally:
        tokenizer.to(device)


def write_graphs(directory: str | Path, graphs: Mapping[str, bytes]) -> None:
    """Write graphs into the folder of their tokenizer, each whole or not at all.

    Raises:
        BadInput: No space left, or the folder may not be written.
    """
    for name, data in graphs.items():
        with atomic_file(Path(directory) / GRAPH_FILES[name]) as temporary:
            temporary.write_bytes(data)


def _about(tokenizer: ResidualTokenizer) -> dict[str, str]:
    """Return what whoever runs the graphs must know."""
    about: dict[str, Any] = {
        "format": FORMAT,
        "kind": tokenizer.kind,
        "dim": tokenizer.dim,
        "codebook_sizes": list(tokenizer.codebook_sizes),
        "normalizes": tokenizer.normalizes,
        "fingerprint": tokenizer.content,
    }
    return {f"semantic_ids.{name}": json.dumps(value) for name, value in about.items()}
