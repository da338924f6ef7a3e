"""What is written for other systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semantic_ids.options import Options, option


@dataclass(frozen=True)
class ExportOptions(Options):
    """What other systems read, beside the mapping from item ids to IDs."""

    group: ClassVar[str] = "export"

    faiss: bool = option(
        False,
        "Write the catalogue as an index that FAISS searches, 07_model_output/semantic_ids.faiss:"
        " codes and a norm, 7 bytes an item at 3×256, beside its id. Needs the extra faiss or gpu,"
        " and tokenizer.kind rq_kmeans.",
    )
    onnx: bool = option(
        False,
        "Write the tokenizer as two ONNX graphs, encoder.onnx and decoder.onnx in its folder, which"
        " encode and decode without torch. Needs the extra onnx; onnxruntime alone runs them.",
    )
