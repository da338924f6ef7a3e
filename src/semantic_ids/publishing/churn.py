"""How much of the published IDs another generation changes.

Shares are of the items that both generations have. An item may change its code in two ways: its
cluster got another name, or it is in another cluster. What is equal after the best renaming of
each level tells the first from the second, and so does the adjusted Rand index (L. Hubert and
P. Arabie, "Comparing partitions", Journal of Classification 2, 1985), which knows no names at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from semantic_ids.codes import LARGEST_KEY
from semantic_ids.publishing.relabel import CoOccurrence, best_names


class Ids(Protocol):
    """Items with their IDs, as `mapping.Mapping` has them."""

    @property
    def hashes(self) -> np.ndarray:
        """Item hashes: shape (n,), uint64."""

    @property
    def codes(self) -> np.ndarray:
        """IDs: shape (n, W), int32."""


def churn(
    old: Ids,
    new: Ids,
    kept: tuple[np.ndarray, np.ndarray],
    *,
    revived: int = 0,
    changed: int = 0,
    issued: Iterable[Ids] = (),
    errors: tuple[np.ndarray, np.ndarray] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, float | int]:
    """Compare the generation before with the one that is to be published.

    Args:
        old: The items of the generation before.
        new: The items of this generation.
        kept: The rows of the m items that both have, in `old` and in `new`.
        revived: How many items were retired and are back.
        changed: How many items have another vector than before.
        issued: Everything that was ever issued, generation by generation, retired IDs included.
        errors: Squared errors of the kept items before and now, two of shape (m,).
        weights: Shape (n,): what each item of this generation counts, not negative.

    Returns:
        The numbers of `churn.json`, all beginning with `churn.`: how many items are kept, new,
        retired, revived and changed; what `shares` returns; `reused`, the IDs that went to another
        item; and `distortion_ratio`, error now / error before. With weights all but the counts once
        more, as `churn.weighted.…`.
    """
    before, now = (ids.codes[rows] for ids, rows in zip((old, new), kept, strict=True))
    found: dict[str, float | int] = {
        "items.kept": len(before),
        "items.new": len(new.codes) - len(before) - revived,
        "items.retired": len(old.codes) - len(before),
        "items.revived": revived,
        "items.changed": changed,
        "reused": reused((ids.hashes, ids.codes) for ids in (*issued, old, new)),
    }
    found |= shares(before, now)
    of_kept = None if weights is None else weights[kept[1]]
    if of_kept is not None and of_kept.any():
        found |= {f"weighted.{name}": share for name, share in shares(before, now, of_kept).items()}
    if errors is not None and len(before):
        found["distortion_ratio"] = error_ratio(errors, None)
        if of_kept is not None and of_kept.any():
            found["weighted.distortion_ratio"] = error_ratio(errors, of_kept)
    return {f"churn.{name}": value for name, value in found.items()}


def error_ratio(errors: tuple[np.ndarray, np.ndarray], weights: np.ndarray | None) -> float:
    """Return Σ error now / Σ error before of the same items.

    1 where both are 0, inf where there was none before.

    Args:
        errors: Before and now, two of shape (m,), m ≥ 1.
        weights: Shape (m,), not all 0: what each item counts; 1 if None.
    """
    before, now = (float(np.average(one, weights=weights)) for one in errors)
    if before:
        return now / before
    return float("inf") if now else 1.0


def shares(old: np.ndarray, new: np.ndarray, weights: np.ndarray | None = None) -> dict[str, float]:
    """Compare the IDs of the same items in two generations.

    Args:
        old: Shape (n, L), integers: their IDs before.
        new: Shape (n, M): their IDs now. Levels that one of the two does not have are not compared.
        weights: Shape (n,), not negative, not all 0: what each item counts; 1 if None.

    Returns:
        `moved_rate`: share of the items with another ID. `level.<l>`, `prefix.<p>`: share with the
        same code at a level, with the same first p codes. `aligned.level.<l>`,
        `aligned.prefix.<p>`: the same after the renaming of each level with which most items keep
        their code. `ari.<l>`: adjusted Rand index of the level's codes. Nothing without items.
    """
    if not len(old):
        return {}
    levels = min(old.shape[1], new.shape[1])
    same = old[:, :levels] == new[:, :levels]
    aligned, found = np.empty_like(same), {}
    for level in range(levels):
        a, b = old[:, level], new[:, level]
        sizes = int(a.max()) + 1, int(b.max()) + 1
        together = CoOccurrence.of(a, b, sizes, weights)
        aligned[:, level] = best_names(together, *sizes)[b] == a
        found[f"ari.{level + 1}"] = adjusted_rand(a, b, together, weights)
    moved = ~same.all(axis=1) | (old.shape[1] != new.shape[1])
    return {
        "moved_rate": _share(moved, weights),
        **_of_levels("", same, weights),
        **_of_levels("aligned.", aligned, weights),
        **found,
    }


def _of_levels(group: str, same: np.ndarray, weights: np.ndarray | None) -> dict[str, float]:
    """Return the shares of equal codes and of equal prefixes: (n, L) bool."""
    prefixes = np.logical_and.accumulate(same, axis=1)
    return {
        f"{group}{name}.{number + 1}": _share(equal[:, number], weights)
        for name, equal in (("level", same), ("prefix", prefixes))
        for number in range(same.shape[1])
    }


def _share(mask: np.ndarray, weights: np.ndarray | None) -> float:
    return float(np.average(mask, weights=weights))


def adjusted_rand(
    old: np.ndarray, new: np.ndarray, together: CoOccurrence, weights: np.ndarray | None = None
) -> float:
    """Return the adjusted Rand index of two groupings of the same items.

    1 where they are the same, 0 on average where they have nothing to do with each other. With
    weights a pair of items counts the product of the two.

    Args:
        old: Shape (n,): the code of each item before.
        new: Shape (n,): the code of each item now.
        together: How many items have which pair of codes.
        weights: Shape (n,): what each item counts; 1 if None.
    """
    squares = np.ones(len(old)) if weights is None else weights**2
    alone = float(squares.sum())

    def pairs(sums: np.ndarray) -> float:
        """Pairs of items in the same group, of the sums of all groups."""
        return float((sums * sums).sum() - alone) / 2

    both = pairs(together.items)
    before, now = (
        pairs(np.bincount(codes, together.items)) for codes in (together.old, together.new)
    )
    every = pairs(together.items.sum(keepdims=True))
    by_chance = before * now / every if every else 0.0
    best = (before + now) / 2
    return (both - by_chance) / (best - by_chance) if best != by_chance else 1.0


def reused(issued: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """Count the IDs that are not with the item that had them first.

    Args:
        issued: For each generation, the oldest first, the hashes of its items (n,) uint64 and their
            IDs (n, L), the retired ones among them.

    Returns:
        How many IDs had two or more items over all generations; 0 where none was reissued.
    """
    parts = [(hashes, codes) for hashes, codes in issued if len(codes)]
    if not parts:
        return 0
    owners = np.concatenate([hashes for hashes, _ in parts])
    ids = _numbered([codes for _, codes in parts])
    order = np.lexsort((owners, ids))
    ids, owners = ids[order], owners[order]
    other = (ids[1:] == ids[:-1]) & (owners[1:] != owners[:-1])
    return len(np.unique(ids[1:][other]))


def _numbered(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Number IDs, equal ones alike: arrays (n, L) of any widths → (Σ n,) int64.

    Level by level, so that no product of codebook sizes is too large for a number; codes that are
    not there are −1.
    """
    width = max(codes.shape[1] for codes in parts)
    numbers, most = np.zeros(sum(map(len, parts)), dtype=np.int64), 1
    for level in range(width):
        column = np.concatenate(
            [
                codes[:, level] if level < codes.shape[1] else np.full(len(codes), -1)
                for codes in parts
            ]
        )
        size = int(column.max()) + 2
        if most * size > LARGEST_KEY:
            numbers = np.unique(numbers, return_inverse=True)[1]
            most = len(numbers)
        numbers, most = numbers * size + (column + 1), most * size
    return numbers
