"""A network that reads an item as one input, and names the next one code by code.

    input     LayerNorm(Σ_l E[token_l] + I[item] + P[place])    one table of tokens; I if wanted
    backbone  causal blocks over items
    heads     z = LayerNorm(h + MLP_l(h, E[codes before]))
              logits of level l: z·W_l + b_l + z·N[node] + s_l, the last for what was seen

Reading an item as one input rather than as L tokens divides the length of the sequence by L (as
RPG, arXiv:2506.05781, does); light heads on one vector a user and the codes so far replace a
decoder (SID-MLP, arXiv:2605.12617).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.compute.threads import pad_rows
from semantic_ids.learning.layers import Dropout
from semantic_ids.recommenders.blocks import CausalBlocks, last_of, more_users
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.heads import Head, codes_seen, first_of_each
from semantic_ids.recommenders.losses import LOSSES
from semantic_ids.recommenders.nodes import Nodes
from semantic_ids.recommenders.options import ItemLevelOptions, TrainingOptions
from semantic_ids.recommenders.tokens import Tokens

START_STD = 0.05
"""Standard deviation of embeddings at the start."""


State = tuple[Tensor, list[Tensor]]
"""What is known of b users, (b, d), and what each head's hidden layer sees of it, (b, hidden)."""


class ItemLevel(nn.Module):
    """Item-level input, causal blocks, a light head for each level: see `beam.Scores`.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        options: The kind's options.
        length: Most items of a history.

    Attributes:
        length: Most items of a history.
        seen_bias: Shape (L, 2): what is added to the logit of each child under which some item of
            the user's own history lies, and what besides where all items under it are in the
            history; None for nothing.
    """

    def __init__(
        self, codes: np.ndarray, sizes: Sequence[int], options: ItemLevelOptions, length: int
    ) -> None:
        super().__init__()
        dim, self.length = options.dim, length
        self.tokens = Tokens(codes, sizes)
        self.embedding = nn.Embedding(self.tokens.size, dim)
        self.items = nn.Embedding(len(codes), dim) if options.item_embeddings else None
        self.places = nn.Embedding(length, dim)
        self.norm = nn.LayerNorm(dim)
        self.code_dropout, self.item_dropout = (
            Dropout(share) for share in (options.code_dropout, options.item_dropout)
        )
        self.dropout = Dropout(options.dropout)
        self.backbone = CausalBlocks(
            dim, options.layers, options.heads, options.feed_forward, options.dropout
        )
        self.heads = nn.ModuleList(
            Head(level, dim, options.head_hidden, size, options.dropout)
            for level, size in enumerate(self.tokens.sizes)
        )
        levels = len(self.tokens.sizes)
        self.seen_bias = nn.Parameter(torch.zeros((levels, 2))) if options.seen else None
        self.nodes = Nodes(codes, sizes, dim) if options.node_embeddings else None
        for table in (self.embedding, self.places, self.items):
            if table is not None:
                nn.init.normal_(table.weight, std=START_STD)

    def forget(self, items: np.ndarray) -> None:
        """Let some items be read by their codes alone: those that nothing is learned of.

        Their own embeddings become zero, and without a gradient stay so.

        Args:
            items: Shape (k,): rows of items.
        """
        if self.items is not None:
            with torch.no_grad():
                self.items.weight[torch.from_numpy(items).to(self.items.weight.device)] = 0

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
        user, place = (targets >= 0).nonzero(as_tuple=True)
        before = first_of_each(inputs)[user]
        later = torch.arange(inputs.shape[1], device=inputs.device) > place[:, None]
        before = before.masked_fill(later, -1)
        aims = _Aims(self.hidden(inputs)[user, place], targets[user, place], before)
        levels = range(children.levels)
        return torch.stack([self._level_loss(aims, at, children, options) for at in levels])

    def _level_loss(
        self, aims: _Aims, level: int, children: Children, options: TrainingOptions
    ) -> Tensor:
        """Return the summed loss of a level.

        A code that alone may follow has no loss: on a CPU, where to count is to wait for nobody,
        the others alone are computed.
        """
        nodes = children.item_nodes[aims.items]
        if options.softmax == "children" and level and nodes.device.type == "cpu":
            choice = children.starts[level].diff()[nodes[:, level - 1]] > 1
            aims, nodes = aims.chosen(choice), nodes[choice]
        prefixes, head = self.tokens.codes(aims.items)[:, :level], self._head(level)
        z = head(aims.h, head.of_states(aims.h), self._tables(level), prefixes)
        logits = head.logits(z).float()
        if self.seen_bias is not None or self.nodes is not None:
            parents = nodes[:, level - 1] if level else nodes.new_zeros(len(nodes))
            codes, edges, valid = children.of(parents, level)
            below = children.items_below[level][edges]
            more = self._of_seen(aims.before, prefixes, codes, below)
            if self.nodes is not None and level:
                more = more + self.nodes.scores(z, edges, valid, level)
            logits = logits.scatter_add(1, codes, more * valid)
        loss = LOSSES[options.softmax](logits, children, level, nodes, options.label_smoothing)
        return loss.sum()

    # ---- what a search asks ----------------------------------------------------------------------

    def hidden(self, items: Tensor) -> Tensor:
        """Return what the backbone makes of each place: (b, T) int64 → (b, T, d)."""
        codes = self.embedding(self.tokens(items))
        if self.training and self.code_dropout.dropout:
            codes = codes * self.code_dropout(codes.new_ones((*codes.shape[:-1], 1)))
        x = codes.sum(2) + self.places.weight[: items.shape[1]]
        if self.items is not None:
            x = x + self._own(items)
        found: Tensor = self.backbone(self.dropout(self.norm(x)))
        return found

    def _own(self, items: Tensor) -> Tensor:
        """Return the embeddings that items have of their own: (b, T) → (b, T, d)."""
        assert self.items is not None
        table = self.items.weight
        few = table.device.type == "cpu"  # most items are in no batch: their gradient is not made
        own = nn.functional.embedding(items.clamp_min(0), table, sparse=few)
        if self.training and self.item_dropout.dropout:
            own = own * self.item_dropout(own.new_ones((*own.shape[:-1], 1)))
        return own

    def states(self, histories: Tensor) -> State:
        """Return what is known of each user: (b, T) int64, padded on the right."""
        padded = more_users(histories)
        states = last_of(self.hidden(padded), padded)
        levels = range(len(self.heads))
        seen = [self._head(level).of_states(pad_rows(states)) for level in levels]
        return states, seen

    def next_logits(self, states: State, rows: Tensor, prefixes: Tensor) -> Tensor:
        """Return the logits of the next code: see `beam.Scores`."""
        level, few = prefixes.shape[1], len(rows)
        rows, prefixes = pad_rows(rows[:, None])[:, 0], pad_rows(prefixes)
        return self._head(level).logits(self._z(states, rows, prefixes))[:few]

    def child_logits(
        self,
        states: State,
        rows: Tensor,
        prefixes: Tensor,
        owner: Tensor,
        codes: Tensor,
        items: Tensor,
    ) -> Tensor:
        """Return the logits of the children of prefixes: see `scores.KnowsChildren`."""
        level = prefixes.shape[1]
        z = self._z(states, pad_rows(rows[:, None])[:, 0], pad_rows(prefixes))
        logits: Tensor = self._head(level).logits(z)[owner, codes]
        return (
            logits if self.nodes is None else logits + self.nodes.of_items(z, owner, items, level)
        )

    def _z(self, states: State, rows: Tensor, prefixes: Tensor) -> Tensor:
        """Return what the logits of the next code are made from: (m, d)."""
        (h, seen), level = states, prefixes.shape[1]
        found: Tensor = self._head(level)(h[rows], seen[level][rows], self._tables(level), prefixes)
        return found

    def _of_seen(self, before: Tensor, prefixes: Tensor, codes: Tensor, below: Tensor) -> Tensor:
        """Return what is added to children under which items of the history lie: (m, w).

        Args:
            before: Shape (m, T): the items of the history, each once, −1 for none.
            prefixes: Shape (m, p): the codes so far.
            codes: Shape (m, w): the codes of the children.
            below: Shape (m, w): how many items are under each.
        """
        if self.seen_bias is None:
            return torch.zeros(codes.shape, device=codes.device)
        level = prefixes.shape[1]
        size, (some, whole) = self.tokens.sizes[level], self.seen_bias[level]
        counts = codes_seen(self.tokens.codes(before), before >= 0, prefixes, size)
        had = counts.gather(1, codes)
        return some * (had > 0) + whole * (had == below)

    def _head(self, level: int) -> Head:
        head = self.heads[level]
        assert isinstance(head, Head)
        return head

    def _tables(self, level: int) -> list[Tensor]:
        """Return the embeddings of the codes of the levels before one: of each (K, d)."""
        return [self.tokens.level(self.embedding.weight, before) for before in range(level)]


@dataclass
class _Aims:
    """Targets: the states that they are predicted from, (m, d); the items, (m,); those before."""

    h: Tensor
    items: Tensor
    before: Tensor

    def chosen(self, which: Tensor) -> _Aims:
        return _Aims(self.h[which], self.items[which], self.before[which])
