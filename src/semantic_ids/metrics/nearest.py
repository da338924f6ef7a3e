"""The k nearest vectors by cosine, exactly, without holding all vectors or all scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice

import numpy as np

from semantic_ids.arrays import CHUNK_ROWS, chunks, in_threads, one_thread
from semantic_ids.codes import ranks
from semantic_ids.metrics.rows import ROWS, cosines

MARGIN = 1e-5
"""How much worse than the k-th best a proposal may look: several times the rounding of a float32
product of unit rows."""
PAIRS = 4096
"""Pairs of rows that are scored exactly at a time."""


def nearest(
    queries: np.ndarray, blocks: Iterable[Callable[[], np.ndarray]], k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k candidates of highest cosine for each query; of equal ones the first.

    A float32 matrix product proposes, a float64 product of each proposed pair decides. So equal
    candidates have exactly equal scores, and neither the size of the blocks nor the number of
    threads shows in the result: a thread that does not know yet what others have found proposes
    more than it had to.

    Args:
        queries: Shape (q, D).
        blocks: Functions that return consecutive candidates, each block (m, D) float32; called in
            threads.
        k: How many.

    Returns:
        Candidate numbers (q, k) int64, best first, and their cosines (q, k) float64; −1 and −inf
        where there are fewer candidates.
    """
    best = _Best(len(queries), k)
    directions = _directions(queries)

    def work(
        read: Callable[[], np.ndarray], rows: int = ROWS
    ) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        block = read()
        worst, found = best.scores[:, -1].copy(), []
        for part in chunks(len(block), rows):
            query, place = _propose(directions, block[part], worst, k)
            found.append((query, part.start + place, _exact(queries, block[part], query, place)))
        query, place, score = (np.concatenate(some) for some in zip(*found, strict=True))
        return len(block), query, place, score

    start, blocks = 0, iter(blocks)
    with one_thread():
        first = (
            work(read, CHUNK_ROWS) for read in islice(blocks, 1)
        )  # alone, so that the others know what is good
        for size, query, place, score in chain(first, in_threads(work, blocks)):
            best.merge(query, start + place, score)
            start += size
    return best.candidates, best.scores


class _Best:
    """The k best candidates so far, best first."""

    def __init__(self, queries: int, k: int) -> None:
        self.candidates = np.full((queries, k), -1, dtype=np.int64)
        self.scores = np.full((queries, k), -np.inf)

    def merge(self, query: np.ndarray, candidate: np.ndarray, score: np.ndarray) -> None:
        """Take in proposals: three arrays (p,)."""
        k = self.scores.shape[1]
        touched = np.unique(query)
        query = np.concatenate([np.repeat(touched, k), query])
        candidate = np.concatenate([self.candidates[touched].ravel(), candidate])
        score = np.concatenate([self.scores[touched].ravel(), score])
        order = np.lexsort((candidate, -score, query))
        kept = order[ranks(query[order]) < k]
        self.candidates[touched] = candidate[kept].reshape(-1, k)
        self.scores[touched] = score[kept].reshape(-1, k)


def _directions(x: np.ndarray) -> np.ndarray:
    """Bring rows to unit length in float32; norms in float64, so that none overflows."""
    norms = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
    return (x / np.where(norms > 0, norms, 1.0).astype(np.float32)[:, None]).astype(np.float32)


def _propose(
    directions: np.ndarray, block: np.ndarray, worst: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, place in the block) of all pairs that may be among the k best.

    `worst` is each query's k-th best score so far, −inf where it has fewer: then the block's own
    k-th best is the bar.
    """
    import torch

    scores = torch.from_numpy(directions) @ torch.from_numpy(_directions(block)).T
    bar = torch.from_numpy(worst)
    if bool(torch.isinf(bar).any()):
        bar = torch.maximum(bar, scores.topk(min(k, len(block)), dim=1).values[:, -1].double())
    bar = (bar - MARGIN).float()
    hit = (scores.amax(dim=1) >= bar).nonzero()[:, 0]
    found = (scores[hit] >= bar[hit, None]).nonzero()
    return hit[found[:, 0]].numpy(), found[:, 1].numpy()


def _exact(
    queries: np.ndarray, block: np.ndarray, query: np.ndarray, place: np.ndarray
) -> np.ndarray:
    """Return the cosines of pairs in float64: (p,), (p,) → (p,)."""
    parts = range(0, len(query), PAIRS)
    pairs = ((query[i : i + PAIRS], place[i : i + PAIRS]) for i in parts)
    return np.concatenate(
        [
            np.zeros(0),
            *(
                cosines(queries[q].astype(np.float64), block[p].astype(np.float64))
                for q, p in pairs
            ),
        ]
    )
