"""From IDs to a published generation, and from today's catalogue to the next one."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.errors import BadInput
from semantic_ids.identifiers import Strategy, TokenizerCosts
from semantic_ids.publishing import bundles
from semantic_ids.publishing.append import Appended, append
from semantic_ids.publishing.files import damaged, read_state
from semantic_ids.publishing.locations import LATEST, TOKENIZER
from semantic_ids.publishing.manifest import Manifest, read_manifest
from semantic_ids.publishing.mapping import Mapping
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.refit import refit
from semantic_ids.publishing.refresh import check_width
from semantic_ids.publishing.state import Catalogue, State, beside

if TYPE_CHECKING:
    from semantic_ids.contract import Tokenizer
    from semantic_ids.tokenizers.base import ResidualTokenizer

logger = logging.getLogger(__name__)

HISTORY, RESULTS = "training_history.parquet", "training_results.json"
"""What a bundle has of the training of its tokenizer."""


@dataclass(frozen=True, eq=False)
class Generation:
    """A generation that is gone on from.

    Attributes:
        manifest: What it says of itself.
        state: Its items, and beside the retired ones whoever got an ID in a generation that is not
            among its ancestors.
        newest: Name of the newest generation when it was read.
        number: Number of the one that comes next.
    """

    manifest: Manifest
    state: State
    newest: str
    number: int

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.manifest.folder

    @property
    def fitted_in(self) -> int:
        """Number of the generation that its tokenizer was fitted for."""
        return int(self.manifest.values["fitted_in"])

    @property
    def fingerprints(self) -> dict[str, str]:
        """What its manifest says of its tokenizer, codes and items."""
        return self.manifest.values["fingerprints"]

    def tokenizer(self, device: str = "cpu") -> ResidualTokenizer:
        """Load its tokenizer."""
        from semantic_ids.workflows.estimators import load_tokenizer

        return load_tokenizer(self.folder / TOKENIZER, device)


def manifest_of(folder: Path, options: PublishOptions) -> Manifest | None:
    """Return the manifest of the generation to go on from; None where there is none yet.

    What a killed writer left is finished or removed first.

    Raises:
        BadInput: Another process publishes there, or there is no such generation.
    """
    bundles.tidy(folder)
    if bundles.newest(folder) is None:
        if options.parent != LATEST:
            raise BadInput(
                f"there is no generation '{options.parent}'",
                where="publish.parent",
                expected=f"{LATEST}, where nothing is published yet",
            )
        return None
    return read_manifest(bundles.named(folder, options.parent))


def generation_of(folder: Path, options: PublishOptions) -> Generation | None:
    """Read the generation to go on from; None where there is none yet. See `manifest_of`."""
    found = manifest_of(folder, options)
    if found is None:
        return None
    there = bundles.generations(folder)
    state, line = read_state(found.folder), _ancestors(found, there)
    for other in there:
        same = other.values["vocabulary"] == found.values["vocabulary"]
        if same and other.name not in line:
            state = beside(state, read_state(other.folder), other.number)
    number = max(manifest.number for manifest in there) + 1
    return Generation(found, state, bundles.newest(folder) or "", number)


def trained(folder: Path) -> tuple[Any, Any, dict[str, Any]]:
    """Read the tokenizer of a generation, and of its training the history and the results.

    Raises:
        BadInput: One of them cannot be read.
    """
    import pyarrow.parquet as pq

    from semantic_ids.workflows.estimators import load_tokenizer

    tokenizer = load_tokenizer(folder / TOKENIZER)
    try:
        table = pq.read_table(folder / HISTORY, memory_map=False)
        return tokenizer, table, json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error


def require_tokenizer(before: Generation, tokenizer: Tokenizer) -> None:
    """Raise `BadInput` where another run has published another tokenizer in the meantime."""
    if tokenizer.content != before.fingerprints["tokenizer"]:
        raise BadInput(
            f"{before.manifest.name} was published while this run worked, with another tokenizer",
            where=str(before.folder.parent),
            expected="one writer at a time",
            do="run it again: it goes on from the newest generation, and nothing is lost",
        )


def _ancestors(manifest: Manifest, there: list[Manifest]) -> set[str]:
    parents = {one.name: one.parent for one in there}
    line: set[str] = set()
    name: str | None = manifest.name
    while name is not None and name not in line:
        line.add(name)
        name = parents.get(name)
    return line


@dataclass(frozen=True, eq=False)
class Draft:
    """IDs that are to be published.

    Attributes:
        state: The items.
        before: The generation before; None for the first.
        made: How the state was made of it; None for the first.
        embeddings: Provenance of the vectors.
        vectors: Their dimensions and type.
        ids: Shape (n, W), int32: the IDs of today's items, row by row of the embeddings.
    """

    state: State
    before: Generation | None
    made: Appended | None
    embeddings: Provenance
    vectors: tuple[int, str]
    ids: np.ndarray

    @property
    def number(self) -> int:
        """Number of the generation that it becomes."""
        return 1 if self.before is None else self.before.number

    @property
    def today(self) -> Codes:
        """The IDs of today's items, in the order of the embeddings."""
        live, nobody = self.state.live, np.arange(len(self.ids))
        return Codes(nobody, self.ids, live.sizes, live.levels, Provenance("semantic_ids"))

    def unseen(self) -> np.ndarray:
        """Mark today's items whose vector the tokenizer was not fitted on: (n,) bool."""
        if self.before is None or self.made is None:
            return np.zeros(len(self.ids), dtype=bool)
        unseen = np.ones(len(self.ids), dtype=bool)
        rows, live = self.made.comparison.kept
        unseen[rows] = self.before.state.vector_since[live] > self.before.fitted_in
        unseen[self.made.comparison.changed] = True
        return unseen


def first_draft(ids: Codes, embeddings: Embeddings) -> Draft:
    """Take the IDs of a catalogue as those of generation 1."""
    state = State.first(Mapping.of(ids), embeddings.vector_hashes)
    vectors = (embeddings.dim, embeddings.vectors.dtype.name)
    return Draft(state, None, None, embeddings.provenance, vectors, ids.codes)


def next_draft(
    before: Generation,
    embeddings: Embeddings,
    tokenizer: ResidualTokenizer,
    codes: np.ndarray,
    options: PublishOptions,
    *,
    strategy: Strategy,
    candidates: int,
) -> Draft:
    """Give today's items their IDs.

    Args:
        before: The generation to go on from.
        embeddings: Today's catalogue.
        tokenizer: Its tokenizer.
        codes: Shape (n, L), int32: what the tokenizer encodes today's vectors to.
        options: What becomes of items that are missing or have changed.
        strategy: How IDs are made unique.
        candidates: How many other prefixes an item of a full prefix is offered at a time.

    Raises:
        BadInput: See `publishing.append` and `publishing.refit`.
    """
    check_width(tokenizer, embeddings.vectors)
    make = refit if options.refresh == "refit" else append
    made = make(
        before.state,
        Catalogue.of(embeddings.item_ids, embeddings.vector_hashes),
        codes,
        TokenizerCosts(tokenizer, embeddings.vectors, embeddings.vector_hashes),
        options,
        number=before.number,
        strategy=strategy,
        candidates=candidates,
    )
    logger.info("compared with %s: %s", before.manifest.name, made.in_words())
    vectors = (embeddings.dim, embeddings.vectors.dtype.name)
    return Draft(made.state, before, made, embeddings.provenance, vectors, made.ids)
