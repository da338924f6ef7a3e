"""Rankers that know no IDs and learn nothing but counts: what a recommender has to be better than.

All rank the whole catalogue. Equal scores are ordered by training events, then by row.

- `Popularity`: the items with most training events, the same for everyone.
- `CoOccurrence`: what followed the last items in other histories, filled by popularity.
- `Neighbours`: the items nearest to the last ones in the embedding that the IDs were made from:
  what the vectors alone are worth, before anything is quantised or learned.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks, read_rows
from semantic_ids.metrics.candidates import Directions, Vectors
from semantic_ids.metrics.nearest import nearest
from semantic_ids.recommenders.following import Following
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.ranking import Ranker, places
from semantic_ids.recommenders.seen import Seen, moved_up

USERS, VECTORS = 256, 2048
"""Users ranked for, and vectors compared with, at a time."""
DECAYS, MEMORIES = (0.0, 0.5, 0.8, 0.9), (0.0, 0.2, 0.4, 0.7)
"""What is tried: see `CoOccurrence`."""
TARGETS, K = 4096, 10
"""Targets of validation, the first ones, on whose NDCG at so many items options are chosen."""
Chosen = TypeVar("Chosen", bound=Ranker)


class Popularity:
    """The most popular items.

    Args:
        counts: Shape (n,): training events of each item.
    """

    def __init__(self, counts: np.ndarray) -> None:
        self.order = np.argsort(-counts, kind="stable")

    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """As `Ranker.rank`; a score is minus the rank."""
        found = np.full(top, -1)
        found[: len(self.order)] = self.order[:top]
        scores = np.where(found >= 0, -np.arange(1.0, top + 1), -np.inf)
        shape = (len(histories), top)
        return torch.from_numpy(found).expand(shape), torch.from_numpy(scores).expand(shape)


class CoOccurrence:
    """What followed the last items in the histories learned from.

    An item's score is Σ memory^i · weight(the user's last item but i → the item), where the weight
    of a pair is Σ decay^(g − 1) over all times that the second came g events after the first. Where
    there are too few such items, the most popular others follow.

    Args:
        following: The weights.
        counts: Shape (n,): training events of each item.
        memory: In [0, 1]; 0 looks at the last item alone.
    """

    def __init__(self, following: Following, counts: np.ndarray, memory: float) -> None:
        self.following, self.memory = following, memory
        self.popular = np.argsort(-counts, kind="stable")
        self.popularity = np.empty(len(counts), np.int64)
        self.popularity[self.popular] = np.arange(len(counts))

    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """As `Ranker.rank`; items that follow have scores above 0."""
        parts = [self._rank(h.numpy(), top) for h in histories.cpu().split(USERS)]
        if not parts:
            return torch.empty((0, top), dtype=torch.int64), torch.empty((0, top))
        items, scores = (np.concatenate(of) for of in zip(*parts, strict=True))
        return torch.from_numpy(items), torch.from_numpy(scores)

    def _rank(self, histories: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        n, b = len(self.popular), len(histories)
        user, item, weight = self.following.scores(histories, weights(histories, self.memory))
        order = np.lexsort((self.popularity[item], -weight, user))
        user, item, weight = user[order], item[order], weight[order]
        rank = np.arange(len(user)) - np.searchsorted(user, user)
        few = rank < top
        items, scores = np.full((b, top), -1), np.full((b, top), -np.inf)
        items[user[few], rank[few]] = item[few]
        scores[user[few], rank[few]] = weight[few]
        return _filled(items, scores, self.popular[: 2 * top], n)


class Neighbours:
    """The items nearest, by cosine, to the mean of the history, the last item itself left out.

    Args:
        vectors: Shape (n, D), an array or a memory map: what the IDs were made from.
        memory: In [0, 1]: the last item but i weighs memory^i in the mean of the unit vectors; 0
            looks at the last item alone.
    """

    def __init__(self, vectors: np.ndarray, memory: float = 0.0) -> None:
        self.vectors, self.memory = vectors, memory

    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """As `Ranker.rank`; scores are cosines. Without a history all of them are 0."""
        if not len(histories):
            return torch.empty((0, top), dtype=torch.int64), torch.empty((0, top))
        past = histories.cpu().numpy()
        queries = self._mean(past)
        unit = Directions.of(queries)

        def read(part: slice) -> Vectors:
            return Vectors(unit, read_rows(self.vectors, part), np.arange(part.start, part.stop))

        blocks = (partial(read, part) for part in chunks(len(self.vectors), VECTORS))
        items, scores = nearest(queries, blocks, top + 1)
        last = past[np.arange(len(past)), np.maximum((past >= 0).sum(axis=1) - 1, 0)]
        kept = np.argsort(items == last[:, None], axis=1, kind="stable")[:, :top]
        found = np.take_along_axis(items, kept, axis=1), np.take_along_axis(scores, kept, axis=1)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    def _mean(self, histories: np.ndarray) -> np.ndarray:
        """Return the weighted sum of the unit vectors of each history: (b, T) → (b, D)."""
        weight = weights(histories, self.memory)
        used, place = np.unique(histories[weight > 0], return_inverse=True)
        rows = read_rows(self.vectors, used, np.float64)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
        number = np.zeros(histories.shape, np.int64)
        number[weight > 0] = place
        total = np.zeros((len(histories), self.vectors.shape[1]))
        for column in range(histories.shape[1]):
            there = weight[:, column] > 0
            total[there] += weight[there, column, None] * rows[number[there, column]]
        return total.astype(np.float32)


class Unseen:
    """A ranker without the items of the history: where people seldom come back to an item.

    A network can learn not to name what it has read, so what it is held against may, too.

    Args:
        ranker: Ranks all items.
    """

    def __init__(self, ranker: Ranker) -> None:
        self.ranker = ranker

    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """As `Ranker.rank`."""
        seen = Seen.of(histories.cpu().numpy())
        found = self.ranker.rank(histories, top + int(seen.counts.max(initial=0)))
        items, scores = (of.cpu().numpy() for of in found)
        kept = ~seen.among(items) & (items >= 0)
        items, scores = moved_up(kept, (items, -1), (scores, -np.inf))
        return torch.from_numpy(items[:, :top]), torch.from_numpy(scores[:, :top])


def make_baseline(
    name: str,
    histories: Histories,
    items: int,
    length: int = 20,
    vectors: np.ndarray | None = None,
) -> Ranker:
    """Make a baseline; its options are chosen on validation.

    Args:
        name: `popularity`, `next` (what followed the last item), `cooccurrence` or `neighbours`.
        histories: Who had which items.
        items: Number of items n in the catalogue.
        length: How much of a history is looked at.
        vectors: Shape (n, D), for `neighbours`.

    Raises:
        ValueError: There is no such baseline, or there are no vectors for it.
    """
    counts = histories.training_counts(items)
    if name == "popularity":
        return Popularity(counts)
    if name == "next":
        return CoOccurrence(Following.of(histories, items, 0.0), counts, 0.0)
    if name == "cooccurrence":
        return choose_cooccurrence(histories, items, length)
    if name == "neighbours" and vectors is not None:
        return choose_neighbours(histories, vectors, length)
    raise ValueError(f"no baseline {name!r}" + (" without vectors" if vectors is None else ""))


def choose_cooccurrence(
    histories: Histories, items: int, length: int = 20
) -> CoOccurrence | Unseen:
    """Count what follows, with the decay and the memory that are best on validation.

    Then, if that is better there, without the items of the history.

    Args:
        histories: Who had which items.
        items: Number of items in the catalogue.
        length: How much of a history is looked at, and how far apart pairs are.
    """
    counts = histories.training_counts(items)
    tables = (Following.of(histories, items, decay, length) for decay in DECAYS)
    rankers = (CoOccurrence(of, counts, memory) for of in tables for memory in MEMORIES)
    best = _best(rankers, histories, length)
    both: tuple[CoOccurrence | Unseen, ...] = (best, Unseen(best))
    return _best(both, histories, length)


def choose_neighbours(
    histories: Histories, vectors: np.ndarray, length: int = 20
) -> Neighbours | Unseen:
    """Return the nearest neighbours, memory and items of the history as for co-occurrence."""
    best = _best((Neighbours(vectors, memory) for memory in MEMORIES), histories, length)
    both: tuple[Neighbours | Unseen, ...] = (best, Unseen(best))
    return _best(both, histories, length)


def _best(rankers: Iterable[Chosen], histories: Histories, length: int) -> Chosen:
    """Return the ranker of highest NDCG on the first targets of validation, of equals the first."""
    positions = histories.targets("valid")[:TARGETS]
    past = torch.from_numpy(histories.before(positions, length))
    targets = np.asarray(histories.items[positions])
    best: tuple[float, Chosen] | None = None
    for ranker in rankers:
        items, _ = ranker.rank(past, K)
        score = float(places(items.numpy(), targets).expected([K])["ndcg"].sum())
        if best is None or score > best[0]:
            best = score, ranker
    assert best is not None
    return best[1]


def weights(histories: np.ndarray, memory: float) -> np.ndarray:
    """Return how much each event of a history weighs: memory^i for the last but i.

    (b, T), padded on the right with −1 → (b, T) float64, 0 for the padding.
    """
    there = histories >= 0
    back = there.sum(axis=1, keepdims=True) - 1 - np.arange(histories.shape[1])
    return np.where(there, float(memory) ** np.maximum(back, 0), 0.0)


def _filled(
    items: np.ndarray, scores: np.ndarray, popular: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fill empty places at the end of lists by popular items that are not in them: (b, W) twice."""
    b, width = items.shape
    rows = np.arange(b)[:, None] * n
    known = np.isin(rows + popular, (rows + items)[items >= 0])
    fill = np.where(known, -1, popular)
    both = np.concatenate([items, fill], axis=1)
    lower = np.broadcast_to(-np.arange(1.0, fill.shape[1] + 1), fill.shape)
    each = np.concatenate([scores, np.where(known, -np.inf, lower)], axis=1)
    kept = np.argsort(both < 0, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(both, kept, axis=1), np.take_along_axis(each, kept, axis=1)
