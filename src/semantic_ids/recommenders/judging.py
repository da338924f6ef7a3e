"""Every target of a split, ranked and counted: what `ranking` says of one list, for all of them.

Users stream in batches, on a CPU each on one thread. Of each target is kept which it is and where
it stood in its list. Nothing is sampled: all users, the full catalogue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.devices import full_precision
from semantic_ids.compute.threads import each_part
from semantic_ids.progress import Progress
from semantic_ids.recommenders.beam import beam_search, users_at_once
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.histories import Histories, Part
from semantic_ids.recommenders.lists import ItemsById, item_lists
from semantic_ids.recommenders.ranking import Places, Ranker, places
from semantic_ids.recommenders.scores import Scores
from semantic_ids.recommenders.seen import Seen, drop_ids, drop_items
from semantic_ids.recommenders.slices import Recommended

SCORES, MOST_USERS, LEAST_USERS = 1 << 24, 256, 16
"""Scores of items that may be held at a time, and users that are ranked for together."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a recommender did, target by target, in the order of the positions.

    Attributes:
        places: Where the targets stand in their lists.
        positions: Shape (t,), int64: which events they are.
        users: Shape (t,), int64: whose.
        targets: Shape (t,), int64: rows of their items.
        ks: At which lengths of the lists it can be measured: none is longer than the beam.
        recommended: How often each item is in a list.
        seconds: Time it took to rank for all of them.
        collide: Whether there are IDs that several items have.
    """

    places: Places
    positions: np.ndarray
    users: np.ndarray
    targets: np.ndarray
    ks: tuple[int, ...]
    recommended: Recommended
    seconds: float
    collide: bool

    def cases(self, counting_ids: bool = False) -> dict[str, np.ndarray]:
        """Return each measure of each target: by name (t, len(ks)), float64.

        Args:
            counting_ids: What counting IDs in place of items would claim.
        """
        count = self.places.counting_ids if counting_ids else self.places.expected
        return count(self.ks)


class _Lists(NamedTuple):
    """What was found for some targets: ranked IDs or items, for how many items each stands (1 if
    None), which of them is sought, and the items of the lists that users see.
    """

    ranked: np.ndarray
    sizes: np.ndarray | None
    sought: np.ndarray
    items: np.ndarray


Find = Callable[[Tensor, np.ndarray, Seen | None], _Lists]
"""Histories (b, T), rows of the targets (b,), and what is not to be recommended → lists."""


def judge_ids(
    model: Scores,
    children: Children,
    histories: Histories,
    part: Part,
    *,
    length: int,
    ks: Sequence[int],
    beam: int,
    exclude_seen: bool = False,
) -> Judged:
    """Judge a network that names items by their IDs.

    Args:
        model: The network, on the device of the trie.
        children: The trie of the IDs.
        histories: Who had which items.
        part: Which targets: `valid` or `test`.
        length: How many items of a history the network is told, at most.
        ks: At which lengths of the list; those beyond the beam are left out.
        beam: Width of the beam.
        exclude_seen: Leave out what the user had before. The beam is then wider by that many.
    """
    if isinstance(model, nn.Module):
        model.eval()
    n, short = len(children.item_nodes), _within(ks, beam)
    leaf_of, sizes = children.item_nodes[:, -1].cpu().numpy(), children.leaf_sizes.cpu().numpy()
    counts = histories.training_counts(n)
    starts, rows = children.leaf_starts.cpu().numpy(), children.leaf_items.cpu().numpy()
    items = ItemsById.of(starts, rows, counts)

    def find(past: Tensor, targets: np.ndarray, seen: Seen | None) -> _Lists:
        widths = beam if seen is None else torch.from_numpy(beam + seen.counts)
        found, scores = beam_search(model, children, past.to(children.device), widths)
        ids, probabilities = found.cpu().numpy(), scores.cpu().numpy()
        of, sought = np.where(ids >= 0, sizes[ids], 0), leaf_of[targets]
        without = None
        if seen is not None:
            ids, of, probabilities = drop_ids(ids, of, probabilities, seen, leaf_of)
            sought, without = np.where(seen.holds(targets), -1, sought), (seen.users, seen.rows)
        lists, _ = item_lists(ids, probabilities, items, max(short, default=1), without)
        return _Lists(ids, of, sought, lists)

    users = users_at_once(children, beam)
    stream = _Stream(histories, part, length, users, exclude_seen, children.device)
    return _judge(find, stream, n, short, children.leaves < int(starts[-1]))


def judge_items(
    ranker: Ranker,
    histories: Histories,
    part: Part,
    *,
    items: int,
    length: int,
    ks: Sequence[int],
    exclude_seen: bool = False,
    device: torch.device | str = "cpu",
) -> Judged:
    """Judge what ranks the items themselves: as `judge_ids`.

    Args:
        ranker: Takes histories on the device.
        histories: Who had which items.
        part: Which targets.
        items: Number of items in the catalogue.
        length: How many items of a history the ranker is told, at most.
        ks: At which lengths of the list.
        exclude_seen: Leave out what the user had before.
        device: Where the ranker is.
    """
    if isinstance(ranker, nn.Module):
        ranker.eval()
    most = max(ks, default=1)

    def find(past: Tensor, targets: np.ndarray, seen: Seen | None) -> _Lists:
        spare = 0 if seen is None else int(seen.counts.max(initial=0))
        ranked = ranker.rank(past.to(device), most + spare)[0].cpu().numpy()
        sought = targets
        if seen is not None:
            ranked = drop_items(ranked, seen)[:, :most]
            sought = np.where(seen.holds(targets), -1, targets)
        return _Lists(ranked, None, sought, ranked)

    users = max(LEAST_USERS, min(MOST_USERS, SCORES // max(1, items)))
    stream = _Stream(histories, part, length, users, exclude_seen, torch.device(device))
    return _judge(find, stream, items, tuple(ks), collide=False)


class _Stream(NamedTuple):
    """The targets of a split in batches."""

    histories: Histories
    part: Part
    length: int
    users: int
    exclude_seen: bool
    device: torch.device

    def batches(self, positions: np.ndarray) -> Iterator[np.ndarray]:
        """Yield numbers of targets: where seen items are left out, such of about as many of them
        together, for the longest decides how many more are ranked for all.
        """
        order = np.arange(len(positions))
        if self.exclude_seen:
            earlier = positions - self.histories.starts[self.histories.user_of(positions)]
            order = np.argsort(earlier, kind="stable")
        for begin in range(0, len(order), self.users):
            yield order[begin : begin + self.users]


def _judge(find: Find, stream: _Stream, items: int, ks: tuple[int, ...], collide: bool) -> Judged:
    histories = stream.histories
    positions = histories.targets(stream.part)
    targets = np.asarray(histories.items[positions]).astype(np.int64)
    recommended, parts = Recommended(items, ks), list[Places]()
    batches, found = list(stream.batches(positions)), dict[int, _Lists]()

    def work(number: int) -> None:
        batch = positions[batches[number]]
        past = torch.from_numpy(histories.before(batch, stream.length))
        seen = Seen.before(histories, batch) if stream.exclude_seen else None
        found[number] = find(past, targets[batches[number]], seen)

    def done(number: int) -> None:
        lists = found.pop(number)
        parts.append(places(lists.ranked, lists.sought, lists.sizes))
        recommended.add(lists.items)
        progress.advance(len(batches[number]))

    with Progress(f"recommend: {stream.part}", total=len(positions)) as progress:
        begun = time.perf_counter()
        _each(work, done, len(batches), stream.device)
        seconds = time.perf_counter() - begun
    order = np.argsort(np.concatenate([np.zeros(0, np.int64), *batches]))
    joined = Places.joined(parts)
    return Judged(
        Places(joined.before[order], joined.among[order], joined.rank[order]),
        positions,
        histories.user_of(positions),
        targets,
        ks,
        recommended,
        seconds,
        collide,
    )


def _each(
    work: Callable[[int], None], done: Callable[[int], None], count: int, device: torch.device
) -> None:
    """Do numbered work: on a CPU in threads, each piece on one of them; end it in order."""
    if device.type == "cpu":
        ended = iter(range(count))
        parts = [slice(number, number + 1) for number in range(count)]
        each_part(lambda part: work(part.start), parts, lambda rows: done(next(ended)))
        return
    with full_precision(device), torch.no_grad():
        for number in range(count):
            work(number)
            done(number)


def _within(ks: Sequence[int], beam: int) -> tuple[int, ...]:
    """Return the lengths that a beam can fill."""
    return tuple(k for k in ks if k <= beam)
