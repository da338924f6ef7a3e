"""Today's catalogue under a tokenizer that was fitted anew → the first generation of a vocabulary.

IDs move here, and here alone. What does not happen here either: an ID that was ever issued goes to
another item. Those that are given up are reserved, for as long as there are generations.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from semantic_ids.contract import CostOracle
from semantic_ids.errors import BadInput
from semantic_ids.identifiers.deduplication import Strategy
from semantic_ids.publishing.append import Appended, Comparison, compare, require_allowed
from semantic_ids.publishing.mapping import Mapping, joined
from semantic_ids.publishing.options import PublishOptions
from semantic_ids.publishing.refresh import Reissued, reissue
from semantic_ids.publishing.state import Catalogue, State


def refit(
    state: State,
    today: Catalogue,
    codes: np.ndarray,
    costs: CostOracle,
    options: PublishOptions,
    *,
    number: int,
    strategy: Strategy,
    candidates: int,
) -> Appended:
    """Give every item of today's catalogue an ID of a new tokenizer.

    See `refresh.reissue` for who gets which. Nobody is retired afterwards: an item that returns is
    new, as its old ID says nothing under the new codebooks.

    Args:
        state: The generation before.
        today: n items.
        codes: Shape (n, L), int32: what the new tokenizer encodes today's vectors to.
        costs: What its codes cost today's items.
        options: What becomes of items that are missing or have changed.
        number: Number of the new generation.
        strategy: How IDs are made unique: that of the generation before.
        candidates: How many other prefixes an item of a full prefix is offered at a time.

    Raises:
        BadInput: Items are missing or changed that may not be, another number of levels, ids of
            another type, or there are fewer free IDs than items that need one.
    """
    require_levels(codes.shape[1], state.live.levels)
    found = require_refit(state, today, options)
    own = found.known_ids(state)
    made = reissue(codes, costs, own, state.every_id, strategy=strategy, candidates=candidates)
    live = Mapping(today.item_ids, today.hashes, made.ids, made.sizes, state.live.levels)
    nobody = np.zeros(0, dtype=np.int64)
    after = State(
        live,
        today.vector_hashes,
        found.vector_since(state, number),
        replace(state.retired.take(nobody), sizes=made.sizes),
        nobody.astype(np.int32),
        _reserved(state, found, made),
    )
    spilled = int(made.spilled.sum())
    return Appended(after, found, today, made.ids, len(found.missing), spilled)


def _reserved(state: State, found: Comparison, made: Reissued) -> Mapping:
    """Return the IDs that no item has any more, with the items that had them."""
    given_up = []
    for mapping, (rows, theirs) in ((state.live, found.kept), (state.retired, found.revived)):
        waits = np.ones(len(mapping), dtype=bool)
        waits[theirs[made.keeps[rows]]] = False
        given_up.append(mapping.take(np.flatnonzero(waits)))
    return joined([*([state.reserved] if state.reserved is not None else []), *given_up])[0]


def require_refit(state: State, today: Catalogue, options: PublishOptions) -> Comparison:
    """Compare today's catalogue with the generation before, and refuse what no refit can do.

    Raises:
        BadInput: Items are missing or changed that may not be, or missing and to be kept, or ids of
            another type.
    """
    found = compare(state, today)
    require_allowed(found, state, today, options)
    if len(found.missing) and options.on_missing == "keep":
        raise BadInput(
            f"{len(found.missing):,} published items are missing, and without their vectors they"
            " can have no ID of a new tokenizer",
            where="publish.on_missing",
            expected="all items of the generation before with publish.refresh=refit",
            do="bring them back, or take publish.on_missing=retire",
        )
    return found


def require_levels(levels: int, published: int) -> None:
    """Refuse a tokenizer of another number of levels than that of the published vocabulary."""
    if levels != published:
        raise BadInput(
            f"a tokenizer of {levels} levels for a vocabulary of {published}",
            where="tokenizer.codebook_sizes",
            expected="as many levels as in the generation before; they may be of other sizes",
            do="publish IDs of another length to another folder of bundles",
        )
