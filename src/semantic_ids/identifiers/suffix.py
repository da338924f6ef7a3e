"""Strategy `suffix`: one more level that tells apart the items that share their codes.

Rajput et al., TIGER, arXiv:2305.05065.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.codes import check_capacity, keys, ranks


def with_suffix(
    codes: np.ndarray, sizes: Sequence[int], taken: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Add the suffix as a last column, to every item, so that all IDs have one width.

    Args:
        codes: Shape (n, L), int32.
        sizes: The L codebook sizes.
        taken: Shape (o, L + 1): IDs that other items have or had, None for none. The suffix goes on
            after the largest of those with the same codes, and the last size has room for them.

    Returns:
        Shape (n, L + 1), int32: the suffix is 0, 1, 2 … in row order among items that share their
        codes, so 0 where they are unique; and the L + 1 sizes.

    Raises:
        BadInput: The keys of the IDs do not fit 63 bits.
    """
    wanted = keys(codes, sizes)
    suffix, largest = ranks(wanted), 0
    if taken is not None and len(taken):
        suffix += _begins(wanted, keys(taken[:, :-1], sizes), taken[:, -1])
        largest = int(taken[:, -1].max())
    sizes = (*sizes, max(largest, int(suffix.max(initial=0))) + 1)
    check_capacity(sizes)
    return np.concatenate([codes, suffix[:, None]], axis=1, dtype=np.int32, casting="unsafe"), sizes


def _begins(wanted: np.ndarray, given: np.ndarray, suffixes: np.ndarray) -> np.ndarray:
    """Return 1 + the largest suffix that was given with each key, 0 where none was.

    (m,), (o,), (o,) → (m,) int64.
    """
    order = np.lexsort((suffixes, given))
    given, suffixes = given[order], suffixes[order].astype(np.int64)
    place = np.searchsorted(given, wanted, side="right") - 1
    found = (place >= 0) & (given[place] == wanted)
    return np.where(found, suffixes[place] + 1, 0)
