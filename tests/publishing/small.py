"""Small catalogues, and what a tokenizer that looks at every code makes of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from semantic_ids.artifacts import Codes, Provenance
from semantic_ids.hashing import item_hash, vector_hash
from semantic_ids.identifiers import TokenizerCosts, deduplicate
from semantic_ids.publishing.append import append
from semantic_ids.publishing.mapping import Mapping
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.state import Catalogue, State
from tests.identifiers.conftest import ExhaustiveTokenizer

MADE = Provenance("semantic_ids", {"tokenizer": "t"}, {"strategy": "reassign"})


def tokenizer_of(sizes, seed=0, dim=3):
    rng = np.random.default_rng(seed)
    return ExhaustiveTokenizer(
        [rng.normal(size=(size, dim)) * 0.5**level for level, size in enumerate(sizes)]
    )


def catalogue(vectors):
    """Item id → vector: the catalogue in the order of the item hash, and its vectors."""
    ids = list(vectors)
    order = np.argsort(item_hash(ids), kind="stable")
    rows = np.array([vectors[ids[row]] for row in order], dtype=np.float32).reshape(len(ids), -1)
    return Catalogue.of(pa.array([ids[row] for row in order]), vector_hash(rows)), rows


def first(tokenizer, vectors, strategy="reassign"):
    today, rows = catalogue(vectors)
    codes = tokenizer.encode(rows)
    made = deduplicate(codes, TokenizerCosts(tokenizer, rows), strategy=strategy, candidates=4)
    ids = Codes(today.item_ids, made.codes, made.sizes, made.levels, MADE)
    return State.first(Mapping.of(ids), today.vector_hashes)


def following(tokenizer, state, vectors, number, strategy="reassign", make=append, **options):
    """The next generation, by `append` or by `refit`."""
    today, rows = catalogue(vectors)
    return make(
        state,
        today,
        tokenizer.encode(rows),
        TokenizerCosts(tokenizer, rows),
        PublishOptions(**{"most_missing": 1.0, **options}),
        number=number,
        strategy=strategy,
        candidates=4,
    )


def published(mapping):
    """Item id → its ID."""
    ids = mapping.item_ids.to_pylist()
    return dict(zip(ids, map(tuple, mapping.codes.tolist()), strict=True))
