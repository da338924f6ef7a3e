"""Embeddings of the nodes of the trie: what a prefix is, beside the codes that it is made of.

A level's codes alone say the same of code 7 after every prefix; its node says what the items are
that begin so, and the node of a whole ID, what its item is. The table belongs to the trie of the
IDs that were trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.arrays import chunks
from semantic_ids.recommenders.children import Children

CHILDREN = 1 << 16
"""Children whose embeddings are looked up at a time while searching."""


class Nodes(nn.Module):
    """An embedding for each node of two codes and more, which starts at zero.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        dim: Width d.
    """

    item_nodes: Tensor

    def __init__(self, codes: np.ndarray, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        children = Children(codes, sizes)
        counts = [len(level) for level in children.codes[1:]]
        self.offsets = (0, 0, *accumulate(counts))
        self.table = nn.Embedding(max(1, sum(counts)), dim)
        nn.init.zeros_(self.table.weight)
        self.register_buffer("item_nodes", children.item_nodes, persistent=False)

    def scores(self, z: Tensor, edges: Tensor, valid: Tensor, level: int) -> Tensor:
        """Return the products with the children of each row, while training.

        Args:
            z: Shape (m, d).
            edges: Shape (m, w): the children, see `Children.of`.
            valid: Shape (m, w), bool: which of them there are.
            level: Their level, from 1.

        Returns:
            Shape (m, w), 0 where there is none.
        """
        owner, place = valid.nonzero(as_tuple=True)
        nodes = edges[owner, place] + self.offsets[level]
        table = self.table.weight
        few = table.device.type == "cpu"  # most nodes are in no batch: their gradient is not made
        found = (z[owner] * nn.functional.embedding(nodes, table, sparse=few)).sum(1)
        return torch.zeros(valid.shape, device=z.device).index_put((owner, place), found.float())

    def of_items(self, z: Tensor, owner: Tensor, items: Tensor, level: int) -> Tensor:
        """Return the products with chosen children, while searching.

        Args:
            z: Shape (m, d).
            owner: Shape (E,): which row each child is of.
            items: Shape (E,): an item under each.
            level: Their level, from 1.

        Returns:
            Shape (E,).
        """
        found = z.new_empty(len(owner))
        for part in chunks(len(owner), CHILDREN):
            nodes = self.item_nodes[items[part], level] + self.offsets[level]
            found[part] = (z[owner[part]] * self.table.weight[nodes]).sum(1)
        return found
