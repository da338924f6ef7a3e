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
    mlflow_model: bool = option(
        False,
        "Log the graphs as MLflow models of the run, which `mlflow models serve` answers HTTP with:"
        " code and graphs, no pickle. Needs export.onnx and tracking.",
    )
    registered_model: str = option(
        "semantic_ids",
        "With export.mlflow_model: name under which the encoder is registered, and the decoder with"
        " _decoder behind it; empty for not at all.",
    )
    model_alias: str = option(
        "champion",
        "With export.mlflow_model: alias of the version registered last, as in"
        " models:/semantic_ids@champion; empty for none.",
    )
    vocabulary: bool = option(
        False,
        "Write which token has which id, 07_model_output/vocabulary.json: one range of ids for the"
        " tokens of all levels.",
    )
    trie: bool = option(
        False,
        "Write all prefixes of the IDs as sorted arrays, 07_model_output/trie, which numpy maps:"
        " which codes may follow which prefix. 5 bytes an item at 4×256.",
    )
    hf_tokenizer: bool = option(
        False,
        "Write the tokens as a tokenizer, 07_model_output/hf_tokenizer, that AutoTokenizer of"
        " transformers loads offline. Nothing is needed to write it; the extra hf to load it.",
    )
    inverse: bool = option(
        False,
        "Write the items of each ID, 07_model_output/items_by_id.parquet: the way back from IDs to"
        " items, also where several share one.",
    )
    suffix_room: int = option(
        0,
        "Where IDs have a suffix: so many suffixes more than those in use have a token, for items"
        " that are yet to come. Without room, more suffixes lengthen the vocabulary at its end.",
        ge=0,
    )
