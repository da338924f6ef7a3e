"""Three strategies that turn codes into IDs, one result, and the check that the IDs are unique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from semantic_ids.codes import capacity, check_sizes, keys
from semantic_ids.contract import CostOracle
from semantic_ids.errors import BadInput
from semantic_ids.identifiers.reassign import reassign
from semantic_ids.identifiers.suffix import with_suffix

Strategy = Literal["reassign", "suffix", "none"]


@dataclass(frozen=True)
class Deduplicated:
    """Semantic IDs, and what it cost to make them.

    Attributes:
        codes: Shape (n, W), int32. W is L, or L + 1 with strategy `suffix`.
        sizes: W sizes; `codes[:, l]` is in `[0, sizes[l])`.
        levels: The tokenizer's number of levels L.
        moved: Shape (n,), bool: some code differs from the tokenizer's. Spilled items are among
            them.
        spilled: Shape (n,), bool: the prefix differs, as the item's own had more items than its
            last level has codes.
        suffixed: Shape (n,), bool: the suffix is not 0.
        distortion_before: Sum over all items of the squared error in the space that is quantised,
            with the tokenizer's codes. NaN for the strategies that change none of them: it is not
            computed then.
        distortion_after: The same with the IDs.
    """

    codes: np.ndarray
    sizes: tuple[int, ...]
    levels: int
    moved: np.ndarray
    spilled: np.ndarray
    suffixed: np.ndarray
    distortion_before: float = float("nan")
    distortion_after: float = float("nan")

    @property
    def moved_rate(self) -> float:
        """Share of the items with another code than the tokenizer's."""
        return _share(self.moved)

    @property
    def spilled_rate(self) -> float:
        """Share of the items with another prefix than the tokenizer's."""
        return _share(self.spilled)

    @property
    def suffixed_rate(self) -> float:
        """Share of the items with a suffix other than 0."""
        return _share(self.suffixed)

    @property
    def added_distortion(self) -> float:
        """Distortion that the IDs add, as a ratio to the distortion before.

        0 where no code changed, inf where there was none before.
        """
        if not self.moved.any() or self.distortion_after == self.distortion_before:
            return 0.0
        return (
            (self.distortion_after - self.distortion_before) / self.distortion_before
            if self.distortion_before
            else float("inf")
        )


def deduplicate(
    codes: np.ndarray,
    costs: CostOracle,
    *,
    strategy: Strategy,
    candidates: int,
    taken: np.ndarray | None = None,
) -> Deduplicated:
    """Turn codes into semantic IDs.

    Args:
        codes: Shape (n, L), int32: what the tokenizer encodes the items to, rows in the order of
            the item hash.
        costs: What codes cost these items, `TokenizerCosts` for one; asked by `reassign` alone.
        strategy: `reassign`: every item its own last-level code, at the least distortion. `suffix`:
            one more level, 0 where unique. `none`: items may share an ID.
        candidates: How many other prefixes an item of an overfull prefix is offered at a time.
        taken: Shape (o, W): IDs that other items have or had, which none of these gets unless
            strategy is `none`. None for none.

    Returns:
        The IDs and their cost.

    Raises:
        BadInput: There are more items than free codes, or the keys of the IDs do not fit 63 bits.
    """
    sizes, nobody = tuple(costs.sizes), np.zeros(len(codes), dtype=bool)
    if strategy == "none":
        return Deduplicated(codes.copy(), sizes, len(sizes), nobody, nobody, nobody)
    if strategy == "suffix":
        suffixed, sizes_with_suffix = with_suffix(codes, sizes, taken)
        require_unique(_with(suffixed, taken), sizes_with_suffix)
        return Deduplicated(
            suffixed, sizes_with_suffix, len(sizes), nobody, nobody, suffixed[:, -1] > 0
        )
    require_room(len(codes), 0 if taken is None else len(taken), sizes)
    ids, before, after = reassign(codes, costs, candidates, taken)
    require_unique(_with(ids, taken), sizes)
    changed = ids != codes
    return Deduplicated(
        ids,
        sizes,
        len(sizes),
        changed.any(axis=1),
        changed[:, :-1].any(axis=1),
        nobody,
        before,
        after,
    )


def require_room(items: int, taken: int, sizes: Sequence[int]) -> None:
    """Raise `BadInput` where there are fewer free codes than items that are to have one each."""
    if not taken and items > capacity(sizes):
        check_sizes(items, sizes, unique=True)
    if items + taken > capacity(sizes):
        raise BadInput(
            f"codebook sizes {'x'.join(map(str, sizes))} make {capacity(sizes):,} IDs, of which"
            f" {taken:,} were issued, so {items:,} new items cannot have one each",
            where="published IDs",
            expected="as many free IDs as new items",
            do="start a new vocabulary with larger codebooks, in another folder of bundles",
        )


def _with(ids: np.ndarray, taken: np.ndarray | None) -> np.ndarray:
    return ids if taken is None else np.concatenate([ids, taken])


def unique_codes(codes: np.ndarray, costs: CostOracle, *, candidates: int) -> np.ndarray:
    """Return what `reassign` makes of codes: (n, L) → (n, L) int32.

    What a tokenizer is refined for. See `deduplicate`.
    """
    check_sizes(len(codes), costs.sizes, unique=True)
    return reassign(codes, costs, candidates)[0]


def require_unique(codes: np.ndarray, sizes: Sequence[int]) -> None:
    """Raise `RuntimeError`, a defect of ours, where two items share an ID or a code is out of
    range.
    """
    if not len(codes):
        return
    if codes.min() < 0 or (codes.max(axis=0) >= np.asarray(sizes)).any():
        raise RuntimeError(
            f"de-duplication made a code outside its codebook {tuple(sizes)}; please report this"
        )
    in_order = np.sort(keys(codes, sizes))
    shared = int(np.count_nonzero(in_order[1:] == in_order[:-1]))
    if shared:
        raise RuntimeError(
            f"de-duplication left {shared:,} items with an ID that another item has; please report"
            " this"
        )


def _share(mask: np.ndarray) -> float:
    return float(np.count_nonzero(mask)) / max(1, len(mask))
