"""Stable hashes: of item ids, of vectors, and fingerprints of whole artifacts.

None of them depends on the process, the machine, the order of rows or the version of a library.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np

from semantic_ids.arrays import chunks, read_rows


def item_hash(item_ids: Iterable[int | str]) -> np.ndarray:
    """Hash item ids; an integer and its decimal string hash alike.

    The hash is the first eight bytes (little-endian) of BLAKE2b with an 8-byte digest of the id's
    UTF-8 text.

    Args:
        item_ids: n integers or strings.

    Returns:
        Shape (n,), uint64.
    """
    digests = b"".join(blake2b(str(i).encode(), digest_size=8).digest() for i in item_ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def vector_hash(vectors: np.ndarray) -> np.ndarray:
    """Hash the bytes of each row, with −0 read as 0, so that equal vectors hash alike.

    Multilinear hashing of the row's words (of 32 bits; 16 for float16), modulo 2**64, with fixed
    random odd multipliers and a mixing step at the end (D. Lemire and O. Kaser, "Strongly universal
    string hashing is fast", The Computer Journal 57(11), 2014). The upper half of a 32-bit word is
    first folded into the lower: the lower bits of short numbers such as 1.0 are all zero, which
    would waste hash bits.

    Args:
        vectors: Shape (n, D), float16, float32 or float64.

    Returns:
        Shape (n,), uint64; 0 for a row of zeros.
    """
    hashes = np.empty(len(vectors), dtype=np.uint64)
    multipliers = _multipliers(vectors.shape[1] * max(1, vectors.dtype.itemsize // 4))
    block = max(1, _BLOCK_WORDS // max(1, len(multipliers)))
    for start in range(0, len(vectors), block):
        words = _words(vectors[start : start + block])
        hashes[start : start + block] = np.einsum("ij,j->i", words, multipliers)
    return mix(hashes)


def hashes_of(vectors: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Hash vectors chunk by chunk: (n, D), an array or a memory map → (n,) uint64.

    As they are stored, or as float32 where that is neither float32 nor float16.

    Args:
        vectors: Shape (n, D).
        rows: Shape (m,): the numbers of the rows wanted, for (m,) hashes; all if None.
    """
    kept = vectors.dtype if vectors.dtype in (np.float16, np.float32) else np.dtype(np.float32)
    hashes = np.empty(len(vectors) if rows is None else len(rows), dtype=np.uint64)
    for part in chunks(len(hashes)):
        hashes[part] = vector_hash(read_rows(vectors, part if rows is None else rows[part], kept))
    return hashes


_BLOCK_WORDS = 1 << 16
"""Words hashed at a time, so that their 64-bit copies stay in the processor's cache."""


@cache
def _multipliers(n: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(0x5EED)).integers(
        0, 2**63, n, dtype=np.uint64
    ) * np.uint64(2) + np.uint64(1)


def _words(vectors: np.ndarray) -> np.ndarray:
    """Return the words of each row as 64-bit integers."""
    positive = np.ascontiguousarray(vectors + vectors.dtype.type(0))  # -0 + 0 is 0
    if vectors.dtype.itemsize == 2:
        return positive.view(np.uint16).astype(np.uint64)
    words = positive.view(np.uint32)
    words ^= words >> np.uint32(16)
    return words.astype(np.uint64)


def mix(h: np.ndarray) -> np.ndarray:
    """Spread the bits of 64-bit integers.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def fingerprint(*parts: Any) -> str:
    """Return 16 hex digits that stand for JSON-like values and arrays.

    Equal parts give equal fingerprints.
    """
    digest = blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(
                json.dumps(part, sort_keys=True, separators=(",", ":"), default=str).encode()
            )
        digest.update(b"\0")
    return digest.hexdigest()


def order_of_items(
    hashes: np.ndarray,
    texts: Callable[[np.ndarray], Sequence[str]],
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Return row numbers in the order that all stages work in: by item hash, equal hashes by the
    text of the id, equal ids by row number.

    Args:
        hashes: Shape (n,), uint64: `item_hash` of each item.
        texts: Returns the ids of rows (m,) as text.
        rows: Shape (m,), ascending: the rows to order; all if None.
    """
    rows = np.arange(len(hashes)) if rows is None else rows
    ordered = rows[np.argsort(hashes[rows], kind="stable")]
    again = tied(hashes[ordered])
    if again.any():
        among = ordered[again]
        ranked = sorted(zip(hashes[among].tolist(), texts(among), among.tolist(), strict=True))
        ordered[again] = [row for _, _, row in ranked]
    return ordered


def tied(hashes: np.ndarray) -> np.ndarray:
    """Mark the elements of a sorted array (n,) that equal a neighbour: (n,) bool."""
    equal = hashes[1:] == hashes[:-1]
    return (
        np.concatenate([equal, [False]]) | np.concatenate([[False], equal])
        if len(hashes)
        else np.zeros(0, bool)
    )
