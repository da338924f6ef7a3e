"""Strategy `suffix`: one more level that tells apart the items that share their codes.

Rajput et al., TIGER, arXiv:2305.05065.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.codes import check_capacity, keys, ranks


def with_suffix(codes: np.ndarray, sizes: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Add the suffix as a last column, to every item, so that all IDs have one width.

    Args:
        codes: Shape (n, L), int32.
        sizes: The L codebook sizes.

    Returns:
        Shape (n, L + 1), int32: the suffix is 0, 1, 2 … in row order among items that share their
        codes, so 0 where they are unique; and the L + 1 sizes.

    Raises:
        BadInput: The keys of the IDs do not fit 63 bits.
    """
    suffix = ranks(keys(codes, sizes))
    sizes = (*sizes, int(suffix.max(initial=0)) + 1)
    check_capacity(sizes)
    return np.concatenate([codes, suffix[:, None]], axis=1, dtype=np.int32, casting="unsafe"), sizes
