"""Make up the histories of the embedded sample, from WordNet's hierarchy and a seed alone.

    python scripts/make_histories.py data/01_raw

The folder holds `items.parquet`, as `make_sample.py` writes it, and gets `sequences.parquet`. The
same items give the same bytes again, with the same versions of numpy and pyarrow.

Nobody had these items: the users are walks. The hierarchy is cut into shelves, sub-trees of a few
dozen items each. A user looks at two or three items of a shelf, one after the other, which of the
two being the shelf's own habit, and then goes on to the shelf that follows it. Which one follows is
drawn once, among shelves of other branches: it is the same for all users, and no vector knows it.
On a shelf some items are sought after more than others, and what is related to the item before is
taken more often. Now and then a user goes somewhere else, or takes an item again. A few items are
new: nobody had them before the last event of a history.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 12
USERS = 3_600
SHORTEST, LONGEST, MEAN = 5, 30, 13
"""Events of a user; lengths fall off geometrically."""
SHELF = 40
"""A sub-tree of at most so many items is a shelf; what is left above is one with its parent."""
FOLLOWS, HOME = 0.75, 0.1
"""How often a user goes on to the shelf that follows, or back to the first one; else anywhere."""
RELATED = 0.5
"""How often an item is one of those beside, above or below the one before."""
AGAIN = 0.02
NEW_ITEMS, NEW_LAST = 0.04, 0.08
"""Share of the items that are new, and how often the last event is one of them, of its shelf."""


@dataclass(frozen=True)
class Shelves:
    """The catalogue as the walks see it.

    Attributes:
        items: Shelf → its items that are not new.
        new: Shelf → its items that are.
        weights: Shelf → how much its items are sought after, in that order; they sum to 1.
        follows: Shelf → the one that follows it.
        stay: Shelf → how many items of it are looked at in a row.
        of_item: Item → its shelf.
        related: Item → those beside, above and below it, on its shelf and not new.
        sought: How much each shelf is sought after.
    """

    items: list[np.ndarray]
    new: list[np.ndarray]
    weights: list[np.ndarray]
    follows: np.ndarray
    stay: np.ndarray
    of_item: dict[int, int]
    related: dict[int, np.ndarray]
    sought: np.ndarray


def cut(items: pa.Table) -> list[list[int]]:
    """Cut the hierarchy into shelves: the largest sub-trees of at most `SHELF` items, and what is
    left of each parent with its children that are no parents.
    """
    parents = dict(zip(items["ItemID"].to_pylist(), items["parent_id"].to_pylist(), strict=True))
    children = defaultdict(list)
    for item, parent in parents.items():
        children[parent].append(item)
    below: dict[int, list[int]] = {}

    def collect(item: int) -> list[int]:
        below[item] = [item] + [found for child in children[item] for found in collect(child)]
        return below[item]

    shelves: list[list[int]] = []

    def divide(item: int) -> None:
        if len(below[item]) <= SHELF:
            shelves.append(below[item])
            return
        inner = [child for child in children[item] if children[child]]
        shelves.append([item] + [child for child in children[item] if not children[child]])
        for child in inner:
            divide(child)

    for root in children[None]:
        collect(root)
        divide(root)
    return shelves


def arrange(items: pa.Table, rng: np.random.Generator) -> Shelves:
    """Draw what the walks need to know of the shelves."""
    shelves = [sorted(shelf) for shelf in cut(items) if len(shelf) > 3]
    branch = dict(zip(items["ItemID"].to_pylist(), items["branch"].to_pylist(), strict=True))
    parent = dict(zip(items["ItemID"].to_pylist(), items["parent_id"].to_pylist(), strict=True))
    of_item = {item: number for number, shelf in enumerate(shelves) for item in shelf}
    is_new = {item: bool(rng.random() < NEW_ITEMS) for shelf in shelves for item in shelf}
    known = [np.array([item for item in shelf if not is_new[item]]) for shelf in shelves]
    new = [np.array([item for item in shelf if is_new[item]]) for shelf in shelves]
    weights = [rng.permutation(1 / np.arange(1, len(shelf) + 1)) for shelf in known]
    related = {
        item: np.array(
            [
                other
                for other in known[shelf].tolist()
                if other != item
                and (parent[item] in (other, parent[other]) or parent[other] == item)
            ]
        )
        for item, shelf in of_item.items()
    }
    sought = rng.permutation(1 / np.arange(1, len(shelves) + 1) ** 0.6)
    return Shelves(
        known,
        new,
        [weight / weight.sum() for weight in weights],
        _follows([branch[shelf[0]] for shelf in shelves], rng),
        rng.integers(2, 4, len(shelves)),
        of_item,
        related,
        sought / sought.sum(),
    )


def _follows(branches: list[str], rng: np.random.Generator) -> np.ndarray:
    """Draw which shelf follows each: every shelf follows one, of another branch."""
    follows = rng.permutation(len(branches))
    for shelf in range(len(branches)):
        while branches[follows[shelf]] == branches[shelf]:
            other = int(rng.integers(len(branches)))
            follows[[shelf, other]] = follows[[other, shelf]]
    return follows


def walk(shelves: Shelves, rng: np.random.Generator) -> list[int]:
    """Return the items of one user, in order."""
    length = min(LONGEST, SHORTEST - 1 + int(rng.geometric(1 / (MEAN - SHORTEST + 1))))
    home = shelf = int(rng.choice(len(shelves.sought), p=shelves.sought))
    had: list[int] = []
    on_shelf = 0
    while len(had) < length:
        if on_shelf >= shelves.stay[shelf]:
            shelf, on_shelf = _next_shelf(shelves, shelf, home, rng), 0
        if len(had) > 3 and rng.random() < AGAIN:
            had.append(int(rng.choice(had)))
            continue
        had.append(_item(shelves, shelf, had, on_shelf > 0, rng))
        on_shelf += 1
    if len(shelves.new[shelf]) and rng.random() < NEW_LAST:
        had[-1] = int(rng.choice(shelves.new[shelf]))
    return had


def _next_shelf(shelves: Shelves, shelf: int, home: int, rng: np.random.Generator) -> int:
    drawn = rng.random()
    if drawn < FOLLOWS:
        return int(shelves.follows[shelf])
    return (
        home if drawn < FOLLOWS + HOME else int(rng.choice(len(shelves.sought), p=shelves.sought))
    )


def _item(
    shelves: Shelves, shelf: int, had: list[int], stays: bool, rng: np.random.Generator
) -> int:
    """Draw an item of a shelf that the user has not had, if there is one."""
    for _ in range(20):
        beside = shelves.related.get(had[-1], np.zeros(0, int)) if stays else np.zeros(0, int)
        if len(beside) and rng.random() < RELATED:
            found = int(rng.choice(beside))
        else:
            found = int(rng.choice(shelves.items[shelf], p=shelves.weights[shelf]))
        if found not in had:
            break
    return found


def make(items: pa.Table) -> pa.Table:
    """Return `user` (text) and `sequence` (list of int64), a row a user."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    shelves = arrange(items.sort_by("ItemID"), rng)
    sequences = [walk(shelves, rng) for _ in range(USERS)]
    users = pa.array([f"user-{number:04}" for number in range(USERS)])
    return pa.table({"user": users, "sequence": pa.array(sequences, pa.list_(pa.int64()))})


def main() -> None:
    """Make, write and say what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with items.parquet")
    folder = parser.parse_args().folder
    made = make(pq.read_table(folder / "items.parquet"))
    file = folder / "sequences.parquet"
    pq.write_table(made, file, compression="zstd", compression_level=22)
    events = sum(map(len, made["sequence"].to_pylist()))
    print(f"{len(made):,} users with {events:,} events, {file.stat().st_size:,} bytes in {file}")


if __name__ == "__main__":
    main()
