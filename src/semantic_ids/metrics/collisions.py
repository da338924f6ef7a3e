"""Items that share their codes, and what de-duplication made of them."""

from __future__ import annotations

import numpy as np

from semantic_ids.artifacts import Codes
from semantic_ids.codes import keys
from semantic_ids.grouping import Partition, distinct


def groups(codes: Codes) -> Partition:
    """Group the items of equal codes; of semantic IDs the suffix counts too."""
    return Partition.of(_labels(codes))


def _labels(codes: Codes) -> np.ndarray:
    """Return a number for each item, the same for the same codes: shape (n,), int64.

    The suffix goes on top of the numbers of the groups without it, so that a wide suffix never
    overflows a key.
    """
    without = keys(codes.tokenizer_codes, codes.sizes)
    if codes.levels == codes.codes.shape[1]:
        return without
    return Partition.of(without).of_row * np.int64(codes.sizes[-1]) + codes.codes[:, -1]


def collisions(same: Partition) -> dict[str, float | int]:
    """Say how many codes are distinct, which share of the items share theirs, and how large the
    largest group is.
    """
    return {
        "codes.unique_rate": len(same) / len(same.of_row),
        "codes.collision_rate": float(same.shared.mean()),
        "codes.max_collision": int(same.sizes.max()),
    }


def moves(codes: Codes, ids: Codes) -> dict[str, float]:
    """Say how many IDs are distinct and how many items had to change, to leave their prefix, or to
    take a suffix other than 0.
    """
    changed = codes.codes != ids.tokenizer_codes
    suffixed = ids.codes[:, ids.levels :] > 0
    return {
        "ids.unique_rate": distinct(_labels(ids)) / len(ids),
        "ids.moved_rate": float(changed.any(axis=1).mean()),
        "ids.spilled_rate": float(changed[:, :-1].any(axis=1).mean()),
        "ids.suffixed_rate": float(suffixed.any(axis=1).mean()),
    }
