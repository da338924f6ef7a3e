"""The k nearest vectors by cosine, exactly, without holding all vectors or all scores.

Scores that are known up to a bound propose pairs, and a float64 product of each proposed pair
decides. So equal candidates have exactly equal scores, and neither how the scores were made, nor
the size of the blocks, nor the number of threads shows in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice

import numpy as np

from semantic_ids.arrays import chunks, in_threads, one_thread
from semantic_ids.codes import ranks
from semantic_ids.metrics.candidates import FLOAT32_BOUND, Candidates, distinct
from semantic_ids.metrics.rows import dots

PAIRS = 4096
"""Pairs of rows that are scored exactly at a time."""


def nearest(
    queries: np.ndarray, blocks: Iterable[Callable[[], Candidates]], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k candidates of highest cosine for each query; of equal ones the first by number.

    A thread that does not know yet what others have found proposes more than it had to.

    Args:
        queries: Shape (q, D).
        blocks: Functions that return candidates, in any order; called in threads.
        k: How many.

    Returns:
        Candidate numbers (q, k) int64, best first, and their cosines (q, k) float64; −1 and −inf
        where there are fewer candidates.
    """
    best = _Best(len(queries), k)
    queries = queries.astype(np.float64)
    norms = np.sqrt(dots(queries, queries))

    def work(read: Callable[[], Candidates]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        block = read()
        query, place = _propose(block, best.scores[:, -1].copy(), k)
        return query, block.numbers[place], _exact(queries, norms, block, query, place)

    blocks = iter(blocks)
    with one_thread():
        first = map(work, islice(blocks, 1))  # alone, so that the others know what is good
        for query, candidate, score in chain(first, in_threads(work, blocks)):
            best.merge(query, candidate, score)
    return best.candidates, best.scores


class _Best:
    """The k best candidates so far, best first."""

    def __init__(self, queries: int, k: int) -> None:
        self.candidates = np.full((queries, k), -1, dtype=np.int64)
        self.scores = np.full((queries, k), -np.inf)

    def merge(self, query: np.ndarray, candidate: np.ndarray, score: np.ndarray) -> None:
        """Take in proposals: three arrays (p,)."""
        better = score >= self.scores[query, -1]
        query, candidate, score = query[better], candidate[better], score[better]
        k = self.scores.shape[1]
        touched = np.unique(query)
        query = np.concatenate([np.repeat(touched, k), query])
        candidate = np.concatenate([self.candidates[touched].ravel(), candidate])
        score = np.concatenate([self.scores[touched].ravel(), score])
        order = np.lexsort((candidate, -score, query))
        kept = order[ranks(query[order]) < k]
        self.candidates[touched] = candidate[kept].reshape(-1, k)
        self.scores[touched] = score[kept].reshape(-1, k)


def _propose(block: Candidates, worst: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, place in the block) of all pairs that may be among the k best.

    `worst` is each query's k-th best score so far, −inf where it has fewer: then the k-th best
    that the block has for certain is the bar.
    """
    import torch

    scores, bounds = block.scores()
    bar = torch.from_numpy(worst)
    if bool(torch.isinf(bar).any()):
        certain = scores.float() - bounds
        bar = torch.maximum(bar, certain.topk(min(k, len(block)), dim=1).values[:, -1].double())
    bar = (bar - 1e-6).float()  # the rounding of the bar, of the bounds and of their difference
    hit = (scores.amax(dim=1).float() + bounds.max() >= bar).nonzero()[:, 0]
    found = (scores[hit].float() + bounds >= bar[hit, None]).nonzero()
    query, place = hit[found[:, 0]].numpy(), found[:, 1].numpy()
    closer = block.closer(query, place)
    if closer is None:
        return query, place
    kept = closer + FLOAT32_BOUND >= bar.numpy()[query]
    return query[kept], place[kept]


def _exact(
    queries: np.ndarray,
    norms: np.ndarray,
    block: Candidates,
    query: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Return the cosines of pairs in float64: (p,), (p,) → (p,); 0 where one of them is zero."""
    used, number = distinct(place)
    rows = block.rows(used).astype(np.float64)
    theirs = np.sqrt(dots(rows, rows))
    scores = np.zeros(len(query))
    for part in chunks(len(query), PAIRS):
        q, p = query[part], number[part]
        sizes = norms[q] * theirs[p]
        np.divide(dots(queries[q], rows[p]), sizes, out=scores[part], where=sizes > 0)
    return scores
