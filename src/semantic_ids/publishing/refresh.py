"""A tokenizer that is refreshed while its IDs are out: what it changes, measured on the items.

`warm`: the codebooks move on from where they are, for the IDs that are out, which stay. A refit is
a new tokenizer, aligned to the old one (`relabel`) for the least change of names.

Errors are squared distances of vectors and decoded vectors, in the space that the tokenizer decodes
to, as those of tokenizers with different preprocessing, or of different networks, can be compared
there alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from semantic_ids.arrays import chunks
from semantic_ids.contract import Tokenizer
from semantic_ids.errors import BadInput
from semantic_ids.metrics.reconstruction import read, squared_errors
from semantic_ids.metrics.rows import ROWS
from semantic_ids.publishing.relabel import alignment, relabel

if TYPE_CHECKING:
    from semantic_ids.tokenizers.base import ResidualTokenizer

    Fitted = TypeVar("Fitted", bound=ResidualTokenizer)


def warm(tokenizer: Fitted, vectors: np.ndarray, published: np.ndarray) -> Fitted:
    """Return a tokenizer whose codebooks have moved to fit the items and their IDs.

    Preprocessing, networks and prices stay, and so does every ID that is out.

    Args:
        tokenizer: The one of the published generation; unchanged.
        vectors: Shape (n, D), rows in the order of the item hash: all items of the catalogue.
        published: Shape (n, L), int32: their IDs without suffix; −1 for an item that has none yet.
    """
    from semantic_ids.tokenizers.refresh import move_codebooks

    check_width(tokenizer, vectors)
    return move_codebooks(tokenizer, vectors, published)


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
