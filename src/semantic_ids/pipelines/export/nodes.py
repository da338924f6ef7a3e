"""Nodes of the stage `export`."""

from __future__ import annotations

import logging

from semantic_ids.artifacts import Codes, OnRequest, Provenance, require_made_from
from semantic_ids.contract import Tokenizer
from semantic_ids.export.faiss_index import FaissIndex, faiss_index
from semantic_ids.export.mappings import Mappings
from semantic_ids.parameters import ExportParameters
from semantic_ids.publishing.inverse import ItemsById
from semantic_ids.publishing.trie import Trie
from semantic_ids.publishing.vocabulary import Vocabulary
from semantic_ids.workflows.graphs import tokenizer_graphs

logger = logging.getLogger(__name__)


def export(semantic_ids: Codes) -> Mappings:
    """Pair item ids with their IDs, for the dataset to write as a stream."""
    provenance = Provenance(
        "semantic_id_mappings", inputs={"semantic_ids": semantic_ids.provenance.fingerprint}
    )
    return Mappings(semantic_ids.item_ids, semantic_ids.codes, provenance)


def export_faiss(
    semantic_ids: Codes, tokenizer: Tokenizer | None, export: ExportParameters
) -> FaissIndex:
    """Index the items by what their IDs decode to, where that is wanted.

    Else the tokenizer is not needed, and may be None.
    """
    inputs = {
        "semantic_ids": semantic_ids.provenance.fingerprint,
        "tokenizer": semantic_ids.provenance.inputs.get("tokenizer", ""),
    }
    provenance = Provenance("faiss_index", inputs)
    if not export.faiss or tokenizer is None:
        return FaissIndex(None, None, provenance)
    made = tokenizer.provenance or Provenance("tokenizer")
    require_made_from(semantic_ids.provenance, tokenizer=made)
    index = faiss_index(semantic_ids, tokenizer, provenance)
    logger.info("FAISS index of %s items, with %s", f"{len(semantic_ids):,}", index.ids_in_words())
    return index


def export_onnx(tokenizer: Tokenizer | None, export: ExportParameters) -> dict[str, bytes]:
    """Write the tokenizer as the graphs `encoder` and `decoder`, where that is wanted.

    Else the tokenizer is not needed, and may be None.
    """
    if not export.onnx or tokenizer is None:
        return {}
    made = tokenizer_graphs(tokenizer)
    sizes = ", ".join(f"{name} {len(data) / 1e6:.1f} MB" for name, data in made.items())
    logger.info("ONNX graphs: %s", sizes)
    return made


def export_language(
    semantic_ids: Codes, export: ExportParameters
) -> tuple[OnRequest[Vocabulary], OnRequest[Trie], OnRequest[Vocabulary], OnRequest[ItemsById]]:
    """Make what language models read, as far as it is wanted."""
    ids, made_from = semantic_ids, semantic_ids.provenance.fingerprint
    vocabulary = Vocabulary.of(
        ids.sizes, ids.levels, suffix_room=export.suffix_room, made_from=made_from
    )
    if export.suffix_room and vocabulary.suffix_level is None:
        logger.warning("export.suffix_room has no effect: these IDs have no suffix")
    trie = Trie.build(ids.codes, ids.sizes, made_from=made_from) if export.trie else None
    if trie is not None:
        logger.info("trie of %s IDs, %.2f MB", f"{len(trie):,}", trie.nbytes / 1e6)
    items = ItemsById(ids.item_ids, ids.codes, ids.sizes, made_from) if export.inverse else None

    def of(name: str) -> Provenance:
        return Provenance(name, {"semantic_ids": made_from})

    return (
        OnRequest(vocabulary if export.vocabulary else None, of("vocabulary")),
        OnRequest(trie, of("trie")),
        OnRequest(vocabulary if export.hf_tokenizer else None, of("hf_tokenizer")),
        OnRequest(items, of("items_by_id")),
    )
