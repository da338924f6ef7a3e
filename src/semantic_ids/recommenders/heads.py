"""The heads of a network that names the next item code by code, and what else tells codes apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from semantic_ids.learning.layers import Dropout


class Head(nn.Module):
    """What a user's state and the codes so far say of the next code.

    z = LayerNorm(h + MLP(h, embeddings of the codes so far)), and `logits` of z are z·W + b
    (SID-MLP, arXiv:2605.12617).

    Args:
        level: Which level it is, from 0: so many codes come before.
        dim: Width d of states and embeddings.
        hidden: Width of the hidden layer.
        size: How many codes K the level has.
        dropout: Share of the hidden layer that is left out at random while training.
    """

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
        self, states: Tensor, seen: Tensor, tables: Sequence[Tensor], prefixes: Tensor
    ) -> Tensor:
        """Return what the logits of the next code are made from, z: (m, d).

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
        found: Tensor = self.norm(states + self.out(seen))
        return found


def codes_seen(codes: Tensor, there: Tensor, prefixes: Tensor, size: int) -> Tensor:
    """Count the items of a user's history that each code leads on to.

    Args:
        codes: Shape (m, T, L): the IDs of the items of the history.
        there: Shape (m, T), bool: which of them count.
        prefixes: Shape (m, p): the codes so far.
        size: How many codes K the next level has.

    Returns:
        Shape (m, K), int64: items that have the code after such a prefix.
    """
    level = prefixes.shape[1]
    along = there & (codes[..., :level] == prefixes[:, None]).all(-1)
    at = torch.where(along, codes[..., level], size)
    counts = torch.zeros((len(codes), size + 1), dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(1, at, torch.ones_like(at))[:, :size]


def first_of_each(items: Tensor) -> Tensor:
    """Keep what is there for the first time: (b, T) int64 → (b, T), −1 where it was before."""
    same = items[:, :, None] == items[:, None, :]
    return items.masked_fill(same.tril(-1).any(-1), -1)
