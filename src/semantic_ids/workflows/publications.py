"""A draft of a generation → its folder, with everything that readers of a bundle want."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semantic_ids.artifacts import Provenance
from semantic_ids.export.faiss_index import faiss_index, write_index
from semantic_ids.hashing import fingerprint
from semantic_ids.publishing import bundles
from semantic_ids.publishing.append import Appended
from semantic_ids.publishing.files import write_delta, write_state
from semantic_ids.publishing.language_files import write_language_files
from semantic_ids.publishing.locations import INDEX, TOKENIZER
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.vocabulary import FILE as VOCABULARY
from semantic_ids.publishing.vocabulary import Vocabulary
from semantic_ids.workflows.publishing import Draft, Generation

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Publication:
    """A generation that is ready to be written.

    Attributes:
        name: Its name.
        after: Name of the newest generation when the work began.
        about: What its manifest says.
        fill: Writes its files; None where nothing is new, and nothing is to be written.
    """

    name: str
    after: str | None
    about: dict[str, Any] = field(default_factory=dict)
    fill: Callable[[Path], None] | None = None

    def publish(self, folder: Path) -> Path:
        """Write it, or say that nothing is new; return the folder of the newest generation."""
        if self.fill is None:
            logger.info("nothing is new: %s stays the newest generation", self.name)
            return folder / self.name
        made = bundles.write_generation(folder, self.name, self.after, self.about, self.fill)
        counts = f"{self.about['items']:,} items, {self.about['retired']:,} retired"
        logger.info("published %s: %s", self.name, counts)
        return made


def publication_of(
    draft: Draft,
    tokenizer: ResidualTokenizer,
    options: PublishOptions,
    *,
    identify: dict[str, Any],
    suffix_room: int = 0,
    faiss: bool = False,
    reports: dict[str, Any] | None = None,
    tables: dict[str, Any] | None = None,
) -> Publication:
    """Prepare a generation.

    Args:
        draft: Its items.
        tokenizer: Its tokenizer.
        options: Whether one is made where nothing is new, and with graphs.
        identify: Strategy and candidates of the IDs.
        suffix_room: Suffixes that have a token beside those in use.
        faiss: Whether the generation has an index of its items, which `semantic-ids search` reads.
        reports: Name of a JSON file → what it holds.
        tables: Name of a parquet file → the pyarrow table that it holds.

    Raises:
        BadInput: The packages that write graphs or the index are not installed, or the tokenizer
            cannot be indexed.
    """
    import pyarrow.parquet as pq

    before, made = draft.before, draft.made
    same = before is not None and tokenizer.content == before.fingerprints["tokenizer"]
    if before is not None and same and not options.always and _nothing_new(before, made):
        return Publication(before.manifest.name, before.newest)
    name, about = _described(draft, tokenizer, identify, options, same=same)
    graphs = _graphs(before if same else None, tokenizer, options.onnx)
    as_published = _provenance(tokenizer, identify)
    items = draft.state.live.as_codes(as_published)
    index = faiss_index(items, tokenizer, as_published) if faiss else None

    def fill(folder: Path) -> None:
        write_state(folder, draft.state, as_published)
        write_delta(folder, None if before is None else before.state, made, draft.state)
        _write_tokenizer(folder, before if same else None, tokenizer, graphs)
        _write_language(folder, draft, suffix_room)
        if index is not None:
            write_index(index, folder / INDEX)
        for file, report in (reports or {}).items():
            text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            (folder / file).write_text(text, encoding="utf-8")
        for file, table in (tables or {}).items():
            pq.write_table(table, folder / file, compression="zstd")

    return Publication(name, None if before is None else before.newest, about, fill)


def _nothing_new(before: Generation, made: Appended | None) -> bool:
    newest = before.newest == before.manifest.name
    return newest and made is not None and made.is_the_same


def _provenance(tokenizer: ResidualTokenizer, identify: dict[str, Any]) -> Provenance:
    """Return what published IDs are made from: not the vectors, which are other ones every day."""
    return Provenance("semantic_ids", {"tokenizer": tokenizer.content}, identify)


def _described(
    draft: Draft,
    tokenizer: ResidualTokenizer,
    identify: dict[str, Any],
    options: PublishOptions,
    *,
    same: bool,
) -> tuple[str, dict[str, Any]]:
    """Return the name of a generation and what its manifest says."""
    import pyarrow as pa

    from semantic_ids import __version__

    state, before = draft.state, draft.before
    begins = before is None or options.refresh == "refit"
    parent = None if before is None else before.manifest.name
    fingerprints = {
        "embeddings": draft.embeddings.fingerprint,
        "tokenizer": tokenizer.content,
        "codes": fingerprint(state.live.codes),
        "items": fingerprint(state.live.hashes, state.vector_hashes, state.retired.hashes),
    }
    name = f"{draft.number:06d}-{fingerprint(parent, fingerprints)[:8]}"
    live = state.live
    text = not pa.types.is_integer(live.item_ids.type)
    return name, {
        "generation": draft.number,
        "parent": parent,
        "vocabulary": name if begins or before is None else before.manifest.values["vocabulary"],
        "refresh": "none" if before is None else options.refresh,
        "fitted_in": before.fitted_in if before is not None and same else draft.number,
        "created_by": f"semantic-ids {__version__}",
        "items": len(live),
        "retired": len(state.retired),
        "changes": {"new": len(live)} if draft.made is None else draft.made.counts(),
        "codebook_sizes": list(tokenizer.codebook_sizes),
        "levels": live.levels,
        "suffix": live.sizes[-1] if len(live.sizes) > live.levels else None,
        "id_type": "string" if text else "int64",
        "identify": identify,
        "vectors": {"dim": draft.vectors[0], "dtype": draft.vectors[1]},
        "fingerprints": fingerprints,
    }


def _graphs(
    before: Generation | None, tokenizer: ResidualTokenizer, wanted: bool
) -> dict[str, bytes]:
    """Export the tokenizer, unless the generation before has the same one with its graphs."""
    from semantic_ids.tokenizers.format import GRAPH_FILES
    from semantic_ids.workflows.graphs import tokenizer_graphs

    there = before is not None and all(
        (before.folder / TOKENIZER / file).is_file() for file in GRAPH_FILES.values()
    )
    return tokenizer_graphs(tokenizer) if wanted and not there else {}


def _write_tokenizer(
    folder: Path,
    before: Generation | None,
    tokenizer: ResidualTokenizer,
    graphs: dict[str, bytes],
) -> None:
    """Copy the tokenizer of the generation before where it is the same, or save it."""
    from semantic_ids.workflows.graphs import write_graphs

    if before is None:
        tokenizer.save(folder / TOKENIZER)
    else:
        shutil.copytree(before.folder / TOKENIZER, folder / TOKENIZER)
    write_graphs(folder / TOKENIZER, graphs)


def _write_language(folder: Path, draft: Draft, suffix_room: int) -> None:
    """Write what language models read; the ids of tokens that are out do not move."""
    live, before = draft.state.live, draft.before
    known = (
        before is not None
        and (before.folder / VOCABULARY).is_file()
        and before.state.live.sizes[: live.levels] == live.sizes[: live.levels]
    )
    write_language_files(
        folder,
        live.codes,
        live.item_ids,
        sizes=live.sizes,
        levels=live.levels,
        made_from=fingerprint(live.codes),
        suffix_room=suffix_room,
        before=Vocabulary.load(before.folder / VOCABULARY) if known and before else None,
    )
