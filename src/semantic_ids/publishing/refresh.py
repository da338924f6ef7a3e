"""A tokenizer that is refreshed while its IDs are out: what it changes, measured on the items.

`warm`: the codebooks move on from where they are, for the IDs that are out, which stay. A refit is
a new tokenizer, aligned to the old one (`relabel`) for the least change of names.

Errors are squared distances of vectors and decoded vectors, in the space that the tokenizer decodes
to, as those of tokenizers with different preprocessing, or of different networks, can be compared
there alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.contract import CostOracle, Tokenizer
from semantic_ids.errors import BadInput
from semantic_ids.identifiers import Strategy, deduplicate
from semantic_ids.identifiers.costs import CostsOfSome
from semantic_ids.metrics.reconstruction import read, squared_errors
from semantic_ids.metrics.rows import ROWS
from semantic_ids.publishing.relabel import alignment, relabel

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

    Fitted = TypeVar("Fitted", bound=ResidualTokenizer)


def warm(
    tokenizer: Fitted,
    vectors: np.ndarray,
    published: np.ndarray,
    rows: np.ndarray | None = None,
) -> Fitted:
    """Return a tokenizer whose codebooks have moved to fit the items and their IDs.

    Preprocessing, networks and prices stay, and so does every ID that is out.

    Args:
        tokenizer: The one of the published generation; unchanged.
        vectors: Shape (n, D), rows in the order of the item hash: all items of the catalogue.
        published: Shape (n, L), int32: their IDs without suffix; −1 for an item that has none yet,
            or whose vector is no longer that which the ID was made for.
        rows: Ascending row numbers of the items to fit; all if None.
    """
    from semantic_ids.tokenizers.refresh import move_codebooks

    check_width(tokenizer, vectors)
    return move_codebooks(tokenizer, vectors, published, rows)


def aligned(old: Tokenizer, new: Fitted, vectors: np.ndarray) -> Fitted:
    """Return the new tokenizer with its codes named after the old one's.

    Args:
        old: The tokenizer of the published generation.
        new: One that was fitted anew; unchanged.
        vectors: Shape (n, D): the items that tell which codes are much the same.
    """
    check_width(old, vectors)
    names = alignment(
        old.encode(vectors), new.encode(vectors), old.codebook_sizes, new.codebook_sizes
    )
    return relabel(new, names)


@dataclass(frozen=True)
class Reissued:
    """IDs of a refitted tokenizer, for items of which some had others.

    Attributes:
        ids: Shape (n, W), int32.
        sizes: W sizes; `ids[:, l]` is in `[0, sizes[l])`.
        keeps: Shape (n,), bool: the ID is the one that the item had.
        spilled: Shape (n,), bool: there was no ID under the item's prefix.
    """

    ids: np.ndarray
    sizes: tuple[int, ...]
    keeps: np.ndarray
    spilled: np.ndarray


def reissue(
    codes: np.ndarray,
    costs: CostOracle,
    own: np.ndarray,
    issued: np.ndarray,
    *,
    strategy: Strategy,
    candidates: int,
) -> Reissued:
    """Turn codes into IDs none of which was ever another item's.

    An item whose codes are those of the ID it had keeps that ID. The others take IDs that were
    never issued; whose own old ID is as near as what it got takes it back, as it waits for that
    item alone.
    With strategy `none` items may share IDs, and they are the codes.

    Args:
        codes: Shape (n, L), int32: what the new tokenizer encodes the items to, rows in the order
            of the item hash.
        costs: What codes cost these items.
        own: Shape (n, W), int32: the ID that an item had; −1 for an item without one.
        issued: Shape (o, W): every ID that was ever issued, once.
        strategy: How IDs are made unique.
        candidates: How many other prefixes an item of a full prefix is offered at a time.

    Raises:
        BadInput: There are fewer free IDs than items that need one.
    """
    levels, sizes = codes.shape[1], tuple(costs.sizes)
    keeps = (codes == own[:, :levels]).all(axis=1) & (own[:, 0] >= 0)
    if strategy == "none":
        made = deduplicate(codes, costs, strategy=strategy, candidates=candidates)
        return Reissued(made.codes, made.sizes, keeps, made.spilled)
    known = issued[(issued[:, :levels] < sizes).all(axis=1)]  # the others cannot come up
    rest = np.flatnonzero(~keeps)
    made = deduplicate(
        codes[rest],
        CostsOfSome(costs, rest),
        strategy=strategy,
        candidates=candidates,
        taken=known,
    )
    ids, spilled = own.astype(np.int32), np.zeros(len(codes), dtype=bool)
    ids[rest], spilled[rest] = made.codes, made.spilled
    if strategy == "reassign":
        rest = rest[(own[rest, 0] >= 0) & (own[rest] < sizes).all(axis=1)]
        back = np.concatenate(
            [
                rows[costs.distortion(rows, own[rows]) <= costs.distortion(rows, ids[rows])]
                for rows in (rest[part] for part in chunks(len(rest)))
            ]
            or [rest]
        )
        ids[back], keeps[back], spilled[back] = own[back], True, False
    return Reissued(ids, made.sizes, keeps, spilled)


def check_width(tokenizer: Tokenizer, vectors: np.ndarray) -> None:
    """Refuse vectors of another width than those that the tokenizer was fitted on."""
    if tokenizer.dim != vectors.shape[1]:
        raise BadInput(
            f"vectors of {vectors.shape[1]:,} dimensions for a tokenizer of {tokenizer.dim:,}",
            where="artifact 'embeddings'",
            expected="the dimensions of the generation before",
            do="publish vectors of another model to another folder of bundles",
        )


def errors(
    tokenizer: Tokenizer, vectors: np.ndarray, rows: np.ndarray, codes: np.ndarray
) -> np.ndarray:
    """Return the squared error of items with these codes, in the space that is decoded to.

    Args:
        tokenizer: The one that the codes are of.
        vectors: Shape (n, D).
        rows: Shape (m,): row numbers of the items.
        codes: Shape (m, L): their codes.

    Returns:
        Shape (m,), float64.
    """
    found = np.empty(len(rows))
    for part in chunks(len(rows), ROWS):
        x = read(vectors, rows[part], tokenizer)
        found[part] = squared_errors(x, tokenizer.decode(codes[part]).astype(np.float64))
    return found
