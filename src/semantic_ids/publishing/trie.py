"""All prefixes of the IDs as sorted arrays: which codes may follow which prefix.

Level by level, the distinct prefixes are numbered in the order of their codes; such a number is
called a node. Two arrays a level say everything (compressed sparse rows):

    codes[l]     last code of each prefix of length l + 1             (N_{l+1},)
    starts[l]    node n of length l has the children starts[l][n] … starts[l][n + 1] − 1, which are
                 nodes of length l + 1                                (N_l + 1,)

So an edge is the node it leads to, and the nodes of full length are the IDs in key order. 10
million items with four levels of 256 take 48 MB in the smallest types. On disk each array is a .npy
file in a folder, which numpy alone maps. (STATIC, arXiv:2602.22647, has the same layout.)

    trie = Trie.load("bundle")
    trie.children((45, 123))                    # codes that may come next
    trie.mask([(45, 123), (7, 0)])              # the same for many prefixes: (2, K) true or false
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semantic_ids.arrays import stretches
from semantic_ids.codes import sizes_of
from semantic_ids.errors import BadInput
from semantic_ids.publishing import trie_files
from semantic_ids.publishing.trie_arrays import prefix_arrays


@dataclass(frozen=True, eq=False)
class Trie:
    """Prefixes of IDs.

    Attributes:
        sizes: How many codes each level has: what masks are as wide as.
        codes: L arrays, see above.
        starts: L arrays, see above.
        shared: Shape (s,), ascending: nodes of the IDs that several items have.
        beyond: Shape (s + 1,): how many items, beyond one each, the IDs before each of those have;
            and all of them.
        made_from: Fingerprint of the semantic IDs.

    Examples:
        >>> import numpy as np
        >>> from semantic_ids import Trie
        >>> trie = Trie.build(np.array([[4, 1, 6], [4, 1, 7], [4, 0, 1]]), (5, 2, 8))
        >>> trie.children((4, 1)).tolist(), trie.count((4,)), (4, 0, 6) in trie
        ([6, 7], 3, False)
        >>> trie.mask([(4,), (3,)])
        array([[ True,  True],
               [False, False]])
    """

    sizes: tuple[int, ...]
    codes: tuple[np.ndarray, ...]
    starts: tuple[np.ndarray, ...]
    shared: np.ndarray
    beyond: np.ndarray
    made_from: str = ""

    @classmethod
    def build(
        cls, codes: np.ndarray, sizes: Sequence[int] | None = None, *, made_from: str = ""
    ) -> Trie:
        """Build the trie of IDs: takes about 20 bytes an item meanwhile, and 0.2 s a million.

        Args:
            codes: Shape (n, L), integers, an array or a memory map, in any order.
            sizes: How many codes each level has; the largest code + 1 of each level if None.
            made_from: Fingerprint of the IDs.

        Raises:
            BadInput: A code outside its level.
        """
        if codes.ndim != 2 or not codes.shape[1] or codes.dtype.kind not in "iu":
            raise BadInput(
                f"codes of shape {codes.shape} and type {codes.dtype}",
                expected="whole numbers of shape (n, L), one row an ID",
            )
        largest = codes.max(axis=0, initial=0)
        sizes = sizes_of([int(k) + 1 for k in largest] if sizes is None else sizes)
        if (
            len(sizes) != codes.shape[1]
            or (len(codes) and codes.min() < 0)
            or (largest >= sizes).any()
        ):
            raise BadInput(
                f"codes of {codes.shape[1]} levels up to {largest.tolist()}",
                expected=f"codes of {len(sizes)} levels, from 0 and below {list(sizes)}",
            )
        return cls(sizes, *prefix_arrays(codes, sizes), made_from=made_from)

    # ---- one prefix ----------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many different IDs there are."""
        return len(self.codes[-1])

    def __repr__(self) -> str:
        """Say how many IDs and items there are."""
        return (
            f"Trie({len(self):,} IDs of {self.count():,} items, {'x'.join(map(str, self.sizes))})"
        )

    def __contains__(self, prefix: Sequence[int]) -> bool:
        """Whether some item has an ID that begins so."""
        return self.node(prefix) >= 0

    @property
    def levels(self) -> int:
        """How many codes an ID has."""
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in (*self.codes, *self.starts, self.shared, self.beyond))

    def node(self, prefix: Sequence[int]) -> int:
        """Return the node of a prefix, −1 where no ID begins so. Of a whole ID: its number."""
        node = 0
        if len(prefix) > self.levels:
            return -1
        for level, code in enumerate(prefix):
            here = self._children(node, level)
            if not 0 <= code < self.sizes[level] or not len(here):
                return -1
            place = int(np.searchsorted(here, here.dtype.type(code)))
            if place == len(here) or here[place] != code:
                return -1
            node = int(self.starts[level][node]) + place
        return node

    def children(self, prefix: Sequence[int]) -> np.ndarray:
        """Return the codes that may follow a prefix, ascending; none where no ID begins so."""
        node = self.node(prefix)
        if node < 0 or len(prefix) == self.levels:
            return np.zeros(0, dtype=self.codes[min(len(prefix), self.levels - 1)].dtype)
        return self._children(node, len(prefix))

    def count(self, prefix: Sequence[int] = ()) -> int:
        """Return how many items have an ID that begins so; all of them for the empty prefix."""
        node = self.node(prefix)
        return 0 if node < 0 else int(self.count_items(np.array([node]), len(prefix))[0])

    def _children(self, node: int, level: int) -> np.ndarray:
        starts = self.starts[level]
        return self.codes[level][int(starts[node]) : int(starts[node + 1])]

    # ---- many prefixes of one length: what a beam search needs ---------------------------------

    def walk(self, prefixes: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
        """Return the node of each prefix: (b, p) → (b,) int64, −1 where no ID begins so.

        Raises:
            BadInput: p is larger than L.
        """
        given = np.asarray(prefixes)
        if given.ndim != 2 or given.shape[1] > self.levels:
            raise BadInput(
                f"prefixes of shape {given.shape}",
                expected=f"(b, p): one a row, of at most {self.levels} codes",
            )
        given = given.astype(np.int64, copy=False)
        nodes = np.zeros(len(given), dtype=np.int64)
        for length in range(given.shape[1]):
            nodes = self.step(nodes, given[:, length], length)
        return nodes

    def step(self, nodes: np.ndarray, codes: np.ndarray, length: int) -> np.ndarray:
        """Go on by one code.

        Args:
            nodes: Shape (b,): nodes of prefixes of this length, −1 for none; of length 0 all are 0.
            codes: Shape (b,): the next code of each.
            length: Length p of the prefixes, from 0 and below L.

        Returns:
            Shape (b,), int64: nodes of length p + 1, −1 where there is none.
        """
        low, stop = self._spans(nodes, length)
        table, high, codes = self.codes[length], stop.copy(), np.asarray(codes)
        if not len(table):
            return np.full(len(low), -1)
        for _ in range(int((stop - low).max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            less = (low < high) & (table[np.minimum(middle, len(table) - 1)] < codes)
            high = np.where(less | (low >= high), high, middle)
            low = np.where(less, middle + 1, low)
        found = (low < stop) & (table[np.minimum(low, len(table) - 1)] == codes)
        return np.where(found, low, -1)

    def mask(self, prefixes: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
        """Say which codes may follow each prefix: (b, p) → (b, K) bool, p below L.

        A row of a prefix that no ID has is all false.
        """
        given = np.asarray(prefixes)
        return self.mask_after(self.walk(given), given.shape[1])

    def mask_after(self, nodes: np.ndarray, length: int) -> np.ndarray:
        """Say which codes may follow each node: (b,) nodes of this length → (b, K) bool.

        Raises:
            BadInput: Nothing follows prefixes of this length: they are whole IDs.
        """
        if length >= self.levels:
            raise BadInput(
                f"prefixes of {length} codes",
                expected=f"at most {self.levels - 1}: an ID ends there",
            )
        first, stop = self._spans(nodes, length)
        rows, edges = np.repeat(np.arange(len(first)), stop - first), stretches(first, stop - first)
        allowed = np.zeros((len(first), self.sizes[length]), dtype=bool)
        allowed[rows, self.codes[length][edges]] = True
        return allowed

    def count_items(self, nodes: np.ndarray, length: int) -> np.ndarray:
        """Count the items below each node: (b,) nodes of this length → (b,) int64, 0 for −1."""
        there = np.asarray(nodes) >= 0
        low = np.where(there, nodes, 0).astype(np.int64)
        high = low + there
        for starts in self.starts[length:]:
            low, high = starts[low].astype(np.int64), starts[high].astype(np.int64)
        return self._items_before(high) - self._items_before(low)

    def _items_before(self, nodes: np.ndarray) -> np.ndarray:
        """Count the items whose ID comes before that of each node of full length."""
        place = np.searchsorted(self.shared, nodes.astype(self.shared.dtype, copy=False))
        return nodes + self.beyond[place].astype(np.int64)

    def contains(self, ids: np.ndarray | Sequence[Sequence[int]]) -> np.ndarray:
        """Whether some item has such an ID, or one that begins so: (b, p) → (b,) bool."""
        return self.walk(ids) >= 0

    def ids(self) -> np.ndarray:
        """Return all IDs in key order: (N_L, L) int32. Row m is that of node m."""
        found = np.empty((len(self), self.levels), dtype=np.int32)
        nodes = np.arange(len(self))
        for level in range(self.levels - 1, -1, -1):
            found[:, level] = self.codes[level][nodes]
            nodes = np.searchsorted(self.starts[level], nodes, side="right") - 1
        return found

    def _spans(self, nodes: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return first child and the end of the children of each node; none for −1."""
        given = np.asarray(nodes)
        there, starts = given >= 0, self.starts[length]
        safe = np.where(there, given, 0)
        end = np.minimum(safe + 1, len(starts) - 1)  # a level without nodes has but one start
        first = starts[safe].astype(np.int64)
        return first, np.where(there, starts[end].astype(np.int64), first)

    # ---- on disk -------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write the folder, whole or not at all; an older trie there is replaced.

        Raises:
            BadInput: There is a folder with other files, no space left, or it may not be written.
        """
        arrays = {"shared": self.shared, "beyond": self.beyond}
        for level in range(self.levels):
            arrays[f"codes_{level + 1}"] = self.codes[level]
            arrays[f"starts_{level + 1}"] = self.starts[level]
        trie_files.write(folder, self.sizes, arrays, self.made_from)

    @classmethod
    def load(cls, folder: str | Path) -> Trie:
        """Map a folder that `save` wrote, read-only.

        Or the one in a folder of an export, of a generation, or of bundles: its newest generation.

        Raises:
            BadInput: It is missing, of another format, or its files do not go together.
        """
        sizes, arrays, made_from = trie_files.read(folder)
        numbers = range(1, len(sizes) + 1)
        return cls(
            sizes,
            tuple(arrays[f"codes_{number}"] for number in numbers),
            tuple(arrays[f"starts_{number}"] for number in numbers),
            arrays["shared"],
            arrays["beyond"],
            made_from,
        )
