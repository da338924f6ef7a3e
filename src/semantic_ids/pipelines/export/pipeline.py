"""Semantic IDs and the tokenizer → what other systems read."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from semantic_ids.pipelines.export.nodes import export, export_faiss, export_language, export_onnx


def create_pipeline() -> Pipeline:
    """Build the stage."""
    return Pipeline(
        [
            Node(export, inputs="semantic_ids", outputs="semantic_id_mappings", name="export"),
            Node(
                export_faiss,
                inputs=["semantic_ids", "tokenizer", "params:export"],
                outputs="faiss_index",
                name="export_faiss",
            ),
            Node(
                export_onnx,
                inputs=["tokenizer", "params:export"],
                outputs="onnx_graphs",
                name="export_onnx",
            ),
            Node(
                export_language,
                inputs=["semantic_ids", "params:export"],
                outputs=["vocabulary", "trie", "hf_tokenizer", "items_by_id"],
                name="export_language",
            ),
        ]
    )
