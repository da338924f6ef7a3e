"""Codes as keys: a tuple of codes is one number in a mixed-radix system.

With keys, everything about equal codes and equal prefixes is a sort. A key is an int64, so the
product of the codebook sizes must stay below 2**63: eight levels of 256 are one too many.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np

from semantic_ids.errors import BadInput

LARGEST_KEY = 2**63 - 1


def capacity(codebook_sizes: Sequence[int]) -> int:
    """Return how many different codes there are.

    The product of the codebook sizes (exact, of any size).
    """
    return math.prod(int(k) for k in codebook_sizes)


def sizes_of(codebook_sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of the codebooks as whole numbers.

    Raises:
        BadInput: There is none, or one is not a whole number of at least 1.
    """
    given = list(codebook_sizes) if isinstance(codebook_sizes, Iterable) else []
    whole = [isinstance(k, Integral) and not isinstance(k, bool) and k >= 1 for k in given]
    if not given or not all(whole):
        raise BadInput(
            f"'codebook_sizes' is {codebook_sizes!r}",
            where="tokenizer.codebook_sizes",
            expected="a whole number of at least 1 for each level",
        )
    return tuple(int(k) for k in given)


def check_capacity(codebook_sizes: Sequence[int]) -> None:
    """Raise `BadInput` where the codes do not fit a 63-bit key."""
    if capacity(codebook_sizes) > LARGEST_KEY:
        raise BadInput(
            f"codebook sizes {'x'.join(map(str, codebook_sizes))} make"
            f" {capacity(codebook_sizes):.3g} codes",
            where="tokenizer.codebook_sizes",
            expected=f"a product of at most 2**63 - 1 = {LARGEST_KEY}",
            do="take fewer or smaller levels",
        )


def check_sizes(items: int, codebook_sizes: Sequence[int], *, unique: bool) -> None:
    """Raise `BadInput` where the codebook sizes cannot serve so many items.

    Args:
        items: How many items there are, or are fitted on.
        codebook_sizes: Size of each level's codebook.
        unique: Whether every item is to have codes of its own (strategy `reassign`).
    """
    check_capacity(codebook_sizes)
    written = "x".join(map(str, codebook_sizes))
    if items < max(codebook_sizes):
        raise BadInput(
            f"{items:,} items are fewer than the {max(codebook_sizes):,} codes of the largest"
            f" codebook ({written})",
            where="tokenizer.codebook_sizes",
            expected="at least one item a code",
            do=(
                "take smaller codebooks, such as"
                f" tokenizer.codebook_sizes={_smaller(items, codebook_sizes, unique)}"
            ),
        )
    if unique and capacity(codebook_sizes) < items:
        raise BadInput(
            f"codebook sizes {written} make {capacity(codebook_sizes):,} codes for {items:,} items,"
            " so they cannot all be unique",
            where="tokenizer.codebook_sizes",
            expected="at least as many codes as items with identify.strategy=reassign",
            do=(
                f"take tokenizer.codebook_sizes={_enough(items, len(codebook_sizes))} or"
                " more, or identify.strategy=suffix"
            ),
        )


def _smaller(items: int, codebook_sizes: Sequence[int], unique: bool) -> str:
    """Suggest sizes that so many items can be fitted on, and that give each its own codes if need
    be.
    """
    smaller = [min(k, max(1, items // 4)) for k in codebook_sizes]
    return (
        _enough(items, len(smaller))
        if unique and capacity(smaller) < items
        else "x".join(map(str, smaller))
    )


def _enough(items: int, levels: int) -> str:
    """Suggest equal sizes with room for twice the items (or for all, if one level is to do)."""
    return "x".join([str(min(items, math.ceil((2 * items) ** (1 / levels))))] * levels)


def keys(codes: np.ndarray, codebook_sizes: Sequence[int]) -> np.ndarray:
    """Pack codes into one number each, the first level being the most significant.

    Keys sort as the codes do, level by level.

    Args:
        codes: Shape (n, p), integers, `codes[:, l]` in `[0, codebook_sizes[l])`.
        codebook_sizes: The first p sizes; p may be 0, which gives zeros.

    Returns:
        Shape (n,), int64.
    """
    packed = np.zeros(len(codes), dtype=np.int64)
    for level in range(codes.shape[1]):
        packed *= int(codebook_sizes[level])
        packed += codes[:, level]
    return packed


def unpack(packed: np.ndarray, codebook_sizes: Sequence[int]) -> np.ndarray:
    """The inverse of `keys`: shape (n,) int64 → (n, p) int32."""
    codes = np.empty((len(packed), len(codebook_sizes)), dtype=np.int32)
    rest = np.array(packed, dtype=np.int64)
    for level in range(len(codebook_sizes) - 1, -1, -1):
        rest, codes[:, level] = np.divmod(rest, int(codebook_sizes[level]))
    return codes


def ranks(packed: np.ndarray) -> np.ndarray:
    """Number the rows that share a key 0, 1, 2 … in row order: shape (n,) → (n,) int64."""
    order = np.argsort(packed, kind="stable")
    in_order = packed[order]
    starts = (
        np.flatnonzero(np.concatenate([[True], in_order[1:] != in_order[:-1]]))
        if len(packed)
        else np.zeros(0, np.int64)
    )
    sizes = np.diff(np.append(starts, len(packed)))
    rank = np.empty(len(packed), dtype=np.int64)
    rank[order] = np.arange(len(packed)) - np.repeat(starts, sizes)
    return rank


def letters(level: int) -> str:
    """Return the letters of a level: 0 → `a`, 25 → `z`, 26 → `aa`."""
    found = ""
    level += 1
    while level:
        level, letter = divmod(level - 1, 26)
        found = chr(ord("a") + letter) + found
    return found


def token(level: int, code: int) -> str:
    """Write one code as a token: level 0, code 45 → `<a_45>`.

    After 26 levels the letters double (`<aa_0>`).
    """
    return f"<{letters(level)}_{code}>"


def written(ids: Iterable[Sequence[int]]) -> list[str]:
    """Write each ID as its tokens, one after the other, without blanks: `<a_45><b_123>`."""
    return ["".join(token(level, int(code)) for level, code in enumerate(row)) for row in ids]


TOKEN = re.compile(r"<([a-z]+)_(0|[1-9][0-9]*)>")
"""A token, with its letters and its code."""


def read_tokens(text: str) -> list[tuple[int, int]]:
    """Return level and code of every token in a text, in their order: the inverse of `token`.

    What is between tokens is skipped.
    """
    return [(_level(found[1]), int(found[2])) for found in TOKEN.finditer(text)]


def _level(written: str) -> int:
    """The inverse of `letters`."""
    level = 0
    for letter in written:
        level = level * 26 + ord(letter) - ord("a") + 1
    return level - 1
