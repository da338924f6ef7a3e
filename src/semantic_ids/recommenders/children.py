"""The trie of the valid IDs as tensors: which codes may follow a prefix, for many prefixes at once.

The arrays are those of `publishing.trie`, on a device: an edge is the node that it leads to, nodes
of a level are numbered in the order of their codes, and the nodes of full length (leaves) are the
distinct IDs. (STATIC, arXiv:2602.22647, decodes by the same layout.)

    children = Children(codes, (256, 256, 256))
    codes, edges, valid = children.of(nodes, level)         # nodes (…,) → three of (…, w)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks
from semantic_ids.errors import BadInput
from semantic_ids.publishing.trie import Trie

ROWS = 1 << 18
"""Items whose nodes are looked up at a time."""


class Children:
    """For each node the codes that may follow.

    A level l, counted from 0, goes from nodes of length l to nodes of length l + 1; the one node of
    length 0 is 0, and −1 stands for no node.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        device: Where the tensors are.
        allowed: Shape (n,), bool: the items whose IDs count (lists to allow or to deny); all if
            None.

    Attributes:
        sizes: How many codes each level has.
        widest: Most children of a node, by level.
        starts: By level, shape (N_l + 1,) int64: node m has the edges starts[m] to
            starts[m + 1] − 1.
        codes: By level, shape (N_{l+1},) int64: the code of each edge.
        parents: By level, shape (N_{l+1},) int64: the node that each edge comes from.
        items_below: By level, shape (N_{l+1},) int64: how many allowed items are under each edge.
        first_items: By level, shape (N_{l+1},) int64: the row of one of them.
        item_nodes: Shape (n, L) int64: the node of each item's prefix of length 1 … L; −1 where the
            item is not allowed. The last column is the leaf.
        prefix_nodes: The same of all items, allowed or not; −1 where no allowed ID begins so.
        leaf_starts: Shape (leaves + 1,) int64: ID m is that of the items
            leaf_items[leaf_starts[m]] … leaf_items[leaf_starts[m + 1] − 1].
        leaf_items: Shape (n',) int64: rows of the allowed items, by ID, ascending within one.

    Raises:
        BadInput: A code outside its level, a mask of another length, or no item is allowed.

    Examples:
        >>> import numpy as np
        >>> children = Children(np.array([[4, 1], [4, 0], [2, 1]]), (5, 2))
        >>> codes, edges, valid = children.of(children.item_nodes[:, 0], 1)
        >>> codes.tolist(), valid.tolist()
        ([[0, 1], [0, 1], [1, 0]], [[True, True], [True, True], [True, False]])
    """

    def __init__(
        self,
        codes: np.ndarray,
        sizes: Sequence[int],
        device: torch.device | str = "cpu",
        allowed: np.ndarray | None = None,
    ) -> None:
        rows = _allowed_rows(len(codes), allowed)
        trie = Trie.build(codes if allowed is None else codes[rows], sizes)
        if not len(trie):
            raise BadInput(
                "no item is allowed" if len(codes) else "there is no ID",
                expected="at least one item that may be recommended",
            )
        self.device = torch.device(device)
        self.sizes = trie.sizes
        ends = [starts.astype(np.int64) for starts in trie.starts]
        widths = [after[1:] - after[:-1] for after in ends]
        self.widest = tuple(int(width.max()) for width in widths)
        self.starts = tuple(self._send(starts) for starts in trie.starts)
        self.codes = tuple(self._send(table) for table in trie.codes)
        self.parents = tuple(self._send(np.repeat(np.arange(len(w)), w)) for w in widths)
        reached = _nodes(trie, codes)
        nodes = reached if allowed is None else np.where(allowed[:, None], reached, -1)
        order = np.argsort(nodes[rows, -1], kind="stable")
        counts = np.bincount(nodes[rows, -1], minlength=len(trie))
        self.item_nodes = self._send(nodes)
        self.prefix_nodes = self.item_nodes if allowed is None else self._send(reached)
        leaf_starts = np.concatenate([[0], np.cumsum(counts)])
        self.leaf_starts, self.leaf_items = self._send(leaf_starts), self._send(rows[order])
        ends = [leaf_starts]  # of each edge: where its items begin among those of the leaves
        for starts in trie.starts[:0:-1]:
            ends.insert(0, ends[0][starts.astype(np.int64)])
        self.items_below = tuple(self._send(np.diff(end)) for end in ends)
        self.first_items = tuple(self._send(rows[order][end[:-1]]) for end in ends)

    @property
    def levels(self) -> int:
        """How many codes an ID has."""
        return len(self.sizes)

    @property
    def leaves(self) -> int:
        """How many distinct IDs there are."""
        return len(self.codes[-1])

    @property
    def leaf_sizes(self) -> Tensor:
        """How many items have each ID: (leaves,) int64, at least 1."""
        return self.leaf_starts.diff()

    def of(self, nodes: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return what may follow each node.

        Args:
            nodes: Shape (…,), int64: nodes of length `level`, −1 for none.
            level: From 0, below L.

        Returns:
            Codes (…, w) int64, edges (…, w) int64, both ascending, and which of them are there
            (…, w) bool, where w is `widest[level]`; elsewhere they are 0.
        """
        starts, there = self.starts[level], nodes >= 0
        safe = nodes.clamp_min(0)
        first = starts[safe]
        count = (starts[safe + 1] - first) * there
        place = torch.arange(self.widest[level], device=nodes.device)
        valid = place < count[..., None]
        edges = (first[..., None] + place) * valid
        return self.codes[level][edges] * valid, edges, valid

    def prefixes(self, nodes: Tensor, length: int) -> Tensor:
        """Return the codes that lead to nodes of a length: (m,) → (m, length) int64.

        Those of −1 are of no meaning.
        """
        found = nodes.new_empty((len(nodes), length))
        nodes = nodes.clamp_min(0)
        for level in range(length - 1, -1, -1):
            found[:, level] = self.codes[level][nodes]
            nodes = self.parents[level][nodes]
        return found

    def _send(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array.astype(np.int64)).to(self.device)


def _allowed_rows(items: int, allowed: np.ndarray | None) -> np.ndarray:
    """Return the rows of the items that count: (n',) int64, ascending."""
    if allowed is None:
        return np.arange(items)
    if allowed.shape != (items,) or allowed.dtype != bool:
        raise BadInput(
            f"a mask of shape {allowed.shape} and type {allowed.dtype}",
            where="allowed",
            expected=f"true or false for each of {items:,} items",
        )
    return np.flatnonzero(allowed)


def _nodes(trie: Trie, codes: np.ndarray) -> np.ndarray:
    """Return the nodes of each item's prefixes: (n, L) int64, −1 where no ID begins so."""
    found = np.empty(codes.shape, dtype=np.int64)
    for part in chunks(len(codes), ROWS):
        nodes = np.zeros(part.stop - part.start, dtype=np.int64)
        for level in range(trie.levels):
            nodes = found[part, level] = trie.step(nodes, codes[part, level], level)
    return found
