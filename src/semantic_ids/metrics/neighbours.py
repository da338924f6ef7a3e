"""Whether items that were near each other are near each other after decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np

from semantic_ids.arrays import chunks, read_rows
from semantic_ids.contract import Tokenizer
from semantic_ids.grouping import Partition
from semantic_ids.metrics.candidates import (
    Candidates,
    CodeSums,
    Directions,
    SumsOfCodes,
    Vectors,
)
from semantic_ids.metrics.nearest import nearest
from semantic_ids.metrics.rows import ROWS
from semantic_ids.progress import Progress

NEIGHBOURS = 10
ORIGINALS = 2048
"""Vectors that are candidates at a time: the more, the more of them are alike."""


def recall(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    codes: np.ndarray,
    same_vector: Partition,
    same_codes: Partition,
    queries: int,
) -> float | None:
    """Return which share of an item's 10 nearest original neighbours is among its 10 nearest
    decoded ones.

    Queries and candidates are both decoded from their codes, an item is no neighbour of itself,
    nearness is the cosine, and of equally near items the first row counts. The decoded side knows
    codes alone, so candidates are quantised as the queries are.

    Args:
        vectors: Shape (n, D), rows in the order of the item hash.
        tokenizer: Made the codes.
        codes: Shape (n, L).
        same_vector: Items of equal vectors.
        same_codes: Items of equal codes.
        queries: How many items to ask for, the first ones.

    Returns:
        The mean over the queries; with fewer than 11 items of all the others, and None where there
        is no other.
    """
    k = min(NEIGHBOURS, len(vectors) - 1)
    if k < 1:
        return None
    asked = np.arange(min(queries, len(vectors)))
    before = nearest_items(
        *_originals(read_rows(vectors, asked), vectors, codes, same_vector), same_vector, k
    )
    after = nearest_items(
        *_decoded(tokenizer.decode(codes[asked]), tokenizer, codes, same_codes), same_codes, k
    )
    return float(
        np.mean([len(np.intersect1d(b, a)) for b, a in zip(before, after, strict=True)]) / k
    )


Asked = tuple[np.ndarray, Iterator[Callable[[], Candidates]]]
"""Vectors of the queries, and what reads the candidates."""


def _originals(
    queries: np.ndarray, vectors: np.ndarray, codes: np.ndarray, same: Partition
) -> Asked:
    """Candidates are the first item of each vector; those of a block in the order of their codes,
    so that such as are alike are together.
    """
    unit = Directions.of(queries)

    def read(part: slice) -> Candidates:
        rows = same.first[part]
        order = np.lexsort(codes[rows].T[::-1])
        return Vectors(unit, read_rows(vectors, rows)[order], part.start + order)

    return queries, _blocks("evaluate: nearest originals", len(same), read, ORIGINALS)


def _decoded(
    queries: np.ndarray, tokenizer: Tokenizer, codes: np.ndarray, same: Partition
) -> Asked:
    """Candidates are the first item of each code, decoded only where it must be."""
    decoder = tokenizer.linear_decoder()
    if decoder is not None:
        sums = SumsOfCodes(queries, decoder)
    else:
        unit = Directions.of(queries)

    def read(part: slice) -> Candidates:
        found, numbers = codes[same.first[part]], np.arange(part.start, part.stop)
        if decoder is not None:
            return CodeSums(sums, found, tokenizer.decode, numbers)
        return Vectors(unit, tokenizer.decode(found), numbers)

    return queries, _blocks("evaluate: nearest decoded", len(same), read, ROWS)


def _blocks(
    label: str, count: int, read: Callable[[slice], Candidates], rows: int
) -> Iterator[Callable[[], Candidates]]:
    """Yield functions that read the candidates, so many rows at a time and in order."""
    with Progress(label, total=count) as progress:
        for part in chunks(count, rows):
            yield partial(read, part)
            progress.advance(part.stop - part.start)


def nearest_items(
    queries: np.ndarray, blocks: Iterator[Callable[[], Candidates]], same: Partition, k: int
) -> np.ndarray:
    """Find the k items nearest to each of the first items, by (cosine, row), itself left out.

    The k + 1 nearest groups, equals in the order of their first rows, hold the k + 1 nearest items:
    each group that comes before an item's has at least one item that comes before it.

    Args:
        queries: Shape (q, D): vectors of rows 0 … q − 1.
        blocks: Functions that read a candidate for each group, in their order.
        same: Items of equal vectors.
        k: How many, at most n − 1.

    Returns:
        Shape (q, k), row numbers.
    """
    groups, scores = nearest(queries, blocks, k + 1)
    members = same.members(np.unique(groups[groups >= 0]), k + 1)
    return np.stack(
        [_expand(groups[row], scores[row], members, row, k) for row in range(len(queries))]
    )


def _expand(
    groups: np.ndarray,
    scores: np.ndarray,
    members_of: Mapping[int, np.ndarray],
    itself: int,
    k: int,
) -> np.ndarray:
    """Turn the nearest groups of an item into its k nearest items."""
    members = [members_of[group] for group in groups[groups >= 0].tolist()]
    rows = np.concatenate(members)
    score = np.repeat(scores[groups >= 0], [len(m) for m in members])
    order = np.lexsort((rows, -score))
    nearest_first = rows[order]
    return nearest_first[nearest_first != itself][:k]
