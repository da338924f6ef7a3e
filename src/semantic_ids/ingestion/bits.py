"""Bytes that hold eight binary dimensions each, told apart from numbers of eight bits."""

from __future__ import annotations

import numpy as np

FEWEST = 2048
"""Of fewer bytes nothing is said."""
TOLERANCE = 0.12
"""How far the bits of packed signs may be from independent coins."""


def look_packed(values: np.ndarray) -> bool:
    """Whether bytes look like packed bits, as `ubinary` and `binary` embeddings are.

    Signs of embedding dimensions are nearly independent coins, and so are the bits of a byte of
    them. Numbers are denser around one value than far from it: their two highest bits then nearly
    exclude each other, or are nearly always 0.

    Args:
        values: int8 or uint8, any shape. Signed bytes are packed ones less 128.
    """
    if values.size < FEWEST:
        return False
    packed = values.reshape(-1)
    if packed.dtype == np.int8:
        packed = (packed.astype(np.int16) + 128).astype(np.uint8)
    bits = np.unpackbits(packed).reshape(-1, 8)
    shares = np.abs(bits.mean(axis=0) - 0.5)
    differ = np.abs((bits[:, 0] ^ bits[:, 1]).mean() - 0.5)
    return bool(shares.max() < TOLERANCE and differ < TOLERANCE)
