"""Causal transformer blocks over sequences that are padded on the right.

What is padded comes after what is not, so a causal mask alone keeps it out of sight.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from semantic_ids.compute.threads import LEAST_ROWS
from semantic_ids.learning.layers import Dropout


class CausalBlocks(nn.Module):
    """Blocks of attention and feed-forward, normalised before each, and once at the end.

    Args:
        dim: Width d.
        layers: How many blocks.
        heads: Attention heads of each; d is a multiple.
        feed_forward: Width of the feed-forward layer.
        dropout: Share that is left out at random while training: of the attention, and of what each
            part adds.
    """

    def __init__(
        self, dim: int, layers: int, heads: int, feed_forward: int, dropout: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(dim, heads, feed_forward, dropout) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(b, T, d) → (b, T, d)."""
        length = x.shape[1]
        ahead = torch.ones((length, length), dtype=torch.bool, device=x.device).triu(1)
        for block in self.blocks:
            x = block(x, ahead)
        found: Tensor = self.norm(x)
        return found


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention, self.before_feed_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.attended = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, feed_forward), nn.GELU(), Dropout(dropout), nn.Linear(feed_forward, dim)
        )
        self.attention_dropout, self.dropout = Dropout(dropout), Dropout(dropout)

    def forward(self, x: Tensor, ahead: Tensor) -> Tensor:
        """(b, T, d), (T, T) bool → (b, T, d)."""
        x = x + self.dropout(self._attend(self.before_attention(x), ahead))
        return x + self.dropout(self.feed_forward(self.before_feed_forward(x)))

    def _attend(self, x: Tensor, ahead: Tensor) -> Tensor:
        b, length, dim = x.shape
        split = self.query_key_value(x).view(b, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        scores = (query / math.sqrt(dim // self.heads)) @ key.transpose(-1, -2)
        weights = scores.masked_fill(ahead, -torch.inf).softmax(-1)
        found = self.attention_dropout(weights) @ value
        attended: Tensor = self.attended(found.transpose(1, 2).reshape(b, length, dim))
        return attended


def last_of(x: Tensor, histories: Tensor) -> Tensor:
    """Return what stands at the last item of each history: (b, T, d), (b, T) → (b, d).

    Of a history without items, what stands at the first place.
    """
    last = (histories >= 0).sum(1).sub(1).clamp_min(0)
    return x[torch.arange(len(x), device=x.device), last]


def more_users(histories: Tensor) -> Tensor:
    """Repeat the last history until products have rows enough to round alike: (b, T) → (b', T)."""
    least = -(-LEAST_ROWS // max(1, histories.shape[1]))
    missing = least - len(histories)
    if missing <= 0 or not len(histories):
        return histories
    return torch.cat([histories, histories[-1:].expand(missing, -1)])
