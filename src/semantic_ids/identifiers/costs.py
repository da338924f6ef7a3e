"""What codes cost the items of a catalogue, by a tokenizer and its vectors."""

from __future__ import annotations

import numpy as np

from semantic_ids.arrays import read_rows
from semantic_ids.contract import CostOracle, Tokenizer
from semantic_ids.hashing import hashes_of


class TokenizerCosts:
    """A `contract.CostOracle` that reads the vectors of the rows it is asked for.

    Args:
        tokenizer: The tokenizer that made the codes.
        vectors: Shape (n, D), an array or a memory map, rows in the order of the item hash.
        hashes: Shape (n,), uint64: `hashing.vector_hash` of the stored rows. None to hash those
            that are asked for.
    """

    def __init__(
        self, tokenizer: Tokenizer, vectors: np.ndarray, hashes: np.ndarray | None = None
    ) -> None:
        self.tokenizer, self.vectors, self.hashes = tokenizer, vectors, hashes
        self.sizes = tuple(int(size) for size in tokenizer.codebook_sizes)
        self._asked, self._read = np.empty(0, dtype=np.int64), vectors[:0]

    def level_costs(self, rows: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self.tokenizer.level_costs(self._rows(rows), prefixes)

    def candidates(
        self, rows: np.ndarray, t: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `CostOracle`."""
        return self.tokenizer.candidates(
            self._rows(rows), t, distinct_prefixes=True, excluded=excluded
        )

    def distortion(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self.tokenizer.distortion(self._rows(rows), codes)

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return hashes_of(self.vectors, rows) if self.hashes is None else self.hashes[rows]

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        """Read vectors, unless they are those of the call before: who is offered other prefixes is
        asked next what its own costs.
        """
        if not np.array_equal(rows, self._asked):
            self._asked, self._read = np.array(rows), read_rows(self.vectors, rows)
        return self._read


class CostsOfSome:
    """A `contract.CostOracle` of some of the items of another: row i is its row `rows[i]`.

    Args:
        costs: What codes cost all items.
        rows: Shape (m,), ascending: row numbers.
    """

    def __init__(self, costs: CostOracle, rows: np.ndarray) -> None:
        self._costs, self._rows = costs, rows
        self.sizes = costs.sizes

    def level_costs(self, rows: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self._costs.level_costs(self._rows[rows], prefixes)

    def candidates(
        self, rows: np.ndarray, t: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `CostOracle`."""
        return self._costs.candidates(self._rows[rows], t, excluded)

    def distortion(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self._costs.distortion(self._rows[rows], codes)

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self._costs.likeness(self._rows[rows])
