"""A network that reads an item as one input, and names the next one code by code.

    input     LayerNorm(Σ_l E[token_l] + P[place])      one table, with offsets per level
    backbone  causal blocks over items
    heads     z = LayerNorm(h + MLP_l(h, E[codes before]))     logits of level l: z·W_l + b_l

Reading an item as one input rather than as L tokens divides the length of the sequence by L (as
RPG, arXiv:2506.05781, does); light heads on one vector a user and the codes so far replace a
decoder (SID-MLP, arXiv:2605.12617).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.threads import pad_rows
from semantic_ids.learning.layers import Dropout
from semantic_ids.recommenders.blocks import CausalBlocks, last_of, more_users
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.losses import LOSSES
from semantic_ids.recommenders.options import ItemLevelOptions, TrainingOptions
from semantic_ids.recommenders.tokens import Tokens

START_STD = 0.05
"""Standard deviation of embeddings at the start."""


class ItemLevel(nn.Module):
    """Item-level input, causal blocks, a light head for each level: see `beam.Scores`.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        options: The kind's options.
        length: Most items of a history.

    Attributes:
        length: Most items of a history.
    """

    def __init__(
        self, codes: np.ndarray, sizes: Sequence[int], options: ItemLevelOptions, length: int
    ) -> None:
        super().__init__()
        dim, self.length = options.dim, length
        self.tokens = Tokens(codes, sizes)
        self.embedding = nn.Embedding(self.tokens.size, dim)
        self.places = nn.Embedding(length, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout, self.code_dropout = Dropout(options.dropout), Dropout(options.code_dropout)
        self.backbone = CausalBlocks(
            dim, options.layers, options.heads, options.feed_forward, options.dropout
        )
        self.heads = nn.ModuleList(
            _Head(level, dim, options.head_hidden, size, options.dropout)
            for level, size in enumerate(self.tokens.sizes)
        )
        nn.init.normal_(self.embedding.weight, std=START_STD)
        nn.init.normal_(self.places.weight, std=START_STD)

    # ---- learning --------------------------------------------------------------------------------

    def forward(
        self, inputs: Tensor, targets: Tensor, children: Children, options: TrainingOptions
    ) -> Tensor:
        """Return the loss of each level, summed over the targets: (L,).

        Args:
            inputs: Shape (b, T), int64, padded on the right with −1.
            targets: Shape (b, T), int64: the item to come, −1 where it is no target.
            children: The trie of all IDs.
            options: What the softmax is over, and label smoothing.
        """
        aimed = targets >= 0
        h, items = self.hidden(inputs)[aimed], targets[aimed]
        return torch.stack(
            [
                self._level_loss(h, items, level, children, options)
                for level in range(children.levels)
            ]
        )

    def _level_loss(
        self, h: Tensor, items: Tensor, level: int, children: Children, options: TrainingOptions
    ) -> Tensor:
        """Return the summed loss of a level: (m, d), (m,) items → ().

        A code that alone may follow has no loss: on a CPU, where to count is to wait for nobody,
        the others alone are computed.
        """
        nodes = children.item_nodes[items]
        if options.softmax == "children" and level and h.device.type == "cpu":
            choice = children.starts[level].diff()[nodes[:, level - 1]] > 1
            h, items, nodes = h[choice], items[choice], nodes[choice]
        codes = self.tokens.codes(items)
        head = self._head(level)
        logits = head(h, head.of_states(h), self._tables(level), codes[:, :level])
        loss = LOSSES[options.softmax](logits, children, level, nodes, options.label_smoothing)
        return loss.sum()

    # ---- what a search asks ----------------------------------------------------------------------

    def hidden(self, items: Tensor) -> Tensor:
        """Return what the backbone makes of each place: (b, T) int64 → (b, T, d)."""
        codes = self.embedding(self.tokens(items))
        if self.training and self.code_dropout.dropout:
            codes = codes * self.code_dropout(codes.new_ones((*codes.shape[:-1], 1)))
        x = codes.sum(2) + self.places.weight[: items.shape[1]]
        found: Tensor = self.backbone(self.dropout(self.norm(x)))
        return found

    def states(self, histories: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what is known of each user: (b, T) int64, padded on the right.

        The state (b, d), and what each head makes of it (b, hidden).
        """
        padded = more_users(histories)
        states = last_of(self.hidden(padded), padded)
        levels = range(len(self.heads))
        return states, [self._head(level).of_states(pad_rows(states)) for level in levels]

    def next_logits(
        self, states: tuple[Tensor, list[Tensor]], rows: Tensor, prefixes: Tensor
    ) -> Tensor:
        """Return the logits of the next code: see `beam.Scores`."""
        level, (h, seen) = prefixes.shape[1], states
        few = len(rows)
        rows, prefixes = pad_rows(rows[:, None])[:, 0], pad_rows(prefixes)
        head = self._head(level)
        found: Tensor = head(h[rows], seen[level][rows], self._tables(level), prefixes)
        return found[:few]

    def _head(self, level: int) -> _Head:
        head = self.heads[level]
        assert isinstance(head, _Head)
        return head

    def _tables(self, level: int) -> list[Tensor]:
        """Return the embeddings of the codes of the levels before one: of each (K, d)."""
        return [self.tokens.level(self.embedding.weight, before) for before in range(level)]


class _Head(nn.Module):
    """The logits of a level: what a user's state and the codes so far say of the next."""

    def __init__(self, level: int, dim: int, hidden: int, size: int, dropout: float) -> None:
        super().__init__()
        self.of_state = nn.Linear(dim, hidden)
        self.of_codes = nn.ModuleList(nn.Linear(dim, hidden, bias=False) for _ in range(level))
        self.out = nn.Sequential(nn.GELU(), Dropout(dropout), nn.Linear(hidden, dim))
        self.norm, self.logits = nn.LayerNorm(dim), nn.Linear(dim, size)

    def of_states(self, states: Tensor) -> Tensor:
        """Return what the hidden layer sees of users: (b, d) → (b, hidden)."""
        seen: Tensor = self.of_state(states)
        return seen

    def forward(
        self, states: Tensor, seen: Tensor, tables: list[Tensor], prefixes: Tensor
    ) -> Tensor:
        """Return the logits of the next code: (m, K).

        The hidden layer is a sum over what it sees, so each code is multiplied once where there are
        more rows than codes.

        Args:
            states: Shape (m, d).
            seen: Shape (m, hidden): `of_states` of them.
            tables: Embeddings (K_l, d) of the codes of each level before.
            prefixes: Shape (m, p): the codes so far.
        """
        for level, (linear, table) in enumerate(zip(self.of_codes, tables, strict=True)):
            codes = prefixes[:, level]
            each_once = not self.training or len(table) < len(codes)
            seen = seen + (linear(table)[codes] if each_once else linear(table[codes]))
        found: Tensor = self.logits(self.norm(states + self.out(seen)))
        return found
