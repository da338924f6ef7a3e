"""What onnxruntime answers in silence, and is refused: each block of rows before it is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from semantic_ids.errors import BadInput

Name = Callable[[int], str]
"""What errors call a row of a block, by its number there."""


def numbered(first_row: int) -> Name:
    """Name rows by their numbers, which count from 0."""
    return lambda row: f"row {first_row + row}"


def require(rows: np.ndarray, width: int, kinds: str, what: str, of: str) -> None:
    """Refuse an array of another shape, or of what are no numbers."""
    if rows.dtype.kind not in kinds:
        raise BadInput(f"{what} of {rows.dtype}", expected=of, do="convert them")
    if rows.ndim != 2 or rows.shape[1] != width:
        raise BadInput(
            f"{what} of shape {rows.shape}",
            expected=f"(n, {width})",
            do="take those that belong to this tokenizer",
        )


def require_sound(block: np.ndarray, normalizes: bool, name: Name) -> None:
    """Refuse rows (m, D) that have no codes, naming the first.

    The sum of all shows whether one may be wrong, in a fifth of the time of looking at each.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.isfinite(block.sum()) and (bad := ~np.isfinite(block).all(axis=1)).any():
            raise BadInput(
                "it holds NaN or infinite values",
                where=name(int(bad.argmax())),
                expected="finite float32 numbers",
                do="mend or drop that row",
            )
    if normalizes and (zero := np.linalg.norm(block, axis=1) == 0).any():
        raise BadInput(
            "it is a vector of zeros, which cannot be scaled to unit length",
            where=name(int(zero.argmax())),
            expected="vectors with a length, for this tokenizer normalizes",
            do="mend or drop that row",
        )


def require_codes(block: np.ndarray, sizes: Sequence[int], name: Name) -> None:
    """Refuse codes (m, L) that are not there, naming the first row."""
    bad = (block < 0) | (block >= np.array(sizes))
    if bad.any():
        row = int(bad.any(axis=1).argmax())
        level = int(bad[row].argmax())
        raise BadInput(
            f"code {block[row, level]} of level {level + 1} is not in its codebook",
            where=name(row),
            expected=f"0 to {sizes[level] - 1}",
            do="take codes of this tokenizer",
        )
