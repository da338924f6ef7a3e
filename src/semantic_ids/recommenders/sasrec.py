"""SASRec, the baseline that knows items and no codes.

W.-C. Kang and J. McAuley, "Self-attentive sequential recommendation", arXiv:1808.09781: causal
blocks over the embeddings of the items, which also are the output layer. It learns by the softmax
over all items rather than from one sampled item: which of these is taken decides how good it is
(A. Klenitskiy and A. Vasilev, arXiv:2309.07602).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from semantic_ids.arrays import chunks
from semantic_ids.learning.layers import Dropout
from semantic_ids.learning.precision import full_float32
from semantic_ids.recommenders.blocks import CausalBlocks, last_of, more_users
from semantic_ids.recommenders.options import SASRecOptions, TrainingOptions

CELLS = 1 << 23
"""Scores of users and items that are in memory at a time."""
START_STD = 0.02
"""Standard deviation of embeddings at the start."""


class SASRec(nn.Module):
    """Causal blocks over items: see `ranking.Ranker`.

    Args:
        items: Number of items n.
        options: Its options.
        length: Most items of a history.

    Attributes:
        length: Most items of a history.
    """

    def __init__(self, items: int, options: SASRecOptions, length: int) -> None:
        super().__init__()
        dim, self.length = options.dim, length
        self.embedding = nn.Embedding(items, dim)
        self.places = nn.Embedding(length, dim)
        self.dropout = Dropout(options.dropout)
        self.backbone = CausalBlocks(
            dim, options.layers, options.heads, options.feed_forward, options.dropout
        )
        nn.init.normal_(self.embedding.weight, std=START_STD)
        nn.init.normal_(self.places.weight, std=START_STD)

    def hidden(self, items: Tensor) -> Tensor:
        """Return what the backbone makes of each place: (b, T) int64 → (b, T, d)."""
        x = self.embedding(items.clamp_min(0)) * math.sqrt(self.embedding.embedding_dim)
        found: Tensor = self.backbone(self.dropout(x + self.places.weight[: items.shape[1]]))
        return found

    def forward(
        self, inputs: Tensor, targets: Tensor, children: None, options: TrainingOptions
    ) -> Tensor:
        """Return the loss summed over the targets: (1,). See `item_level.ItemLevel.forward`."""
        aimed = targets >= 0
        h, items = self.hidden(inputs)[aimed], targets[aimed]
        with full_float32(h.device):
            loss = cross_entropy(h.float(), self.embedding.weight, items, options.label_smoothing)
        return loss.sum()[None]

    @torch.no_grad()
    def rank(self, histories: Tensor, top: int) -> tuple[Tensor, Tensor]:
        """Return the items most likely to come next: see `ranking.Ranker`."""
        padded = more_users(histories)
        h = last_of(self.hidden(padded), padded)
        count = len(self.embedding.weight)
        scores = h.new_full((len(h), top), -torch.inf)
        items = torch.full(scores.shape, -1, device=h.device)
        for part in chunks(count, max(top, CELLS // len(h)) if len(h) else count):
            here = h @ self.embedding.weight[part].T
            numbers = torch.arange(part.start, part.stop, device=h.device).expand(len(h), -1)
            scores, at = torch.cat([scores, here], 1).topk(top, dim=1)
            items = torch.cat([items, numbers], 1).gather(1, at)
        return items[: len(histories)], scores[: len(histories)]


def cross_entropy(h: Tensor, table: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return −log p of targets in a softmax over a table of items, however long.

    Args:
        h: Shape (m, d).
        table: Shape (n, d).
        targets: Shape (m,), int64.
        smoothing: Share of the target that is dealt out evenly to all items.

    Returns:
        Shape (m,).
    """
    few = len(h) * len(table) <= CELLS
    total = (h @ table.T).logsumexp(1) if few else _LogSumExp.apply(h, table)
    loss: Tensor = total - (1 - smoothing) * (h * table[targets]).sum(1)
    return loss - smoothing * (h @ table.mean(0)) if smoothing else loss


class _LogSumExp(torch.autograd.Function):
    """log Σ_j exp(h·t_j) of each row, with the scores of some items in memory at a time."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, table: Tensor) -> Tensor:
        total = h.new_full((len(h),), -torch.inf)
        for part in chunks(len(table), max(1, CELLS // len(h))):
            total = torch.logaddexp(total, (h @ table[part].T).logsumexp(1))
        ctx.save_for_backward(h, table, total)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        h, table, total = ctx.saved_tensors
        dh, dtable = torch.zeros_like(h), torch.empty_like(table)
        for part in chunks(len(table), max(1, CELLS // len(h))):
            share = (h @ table[part].T - total[:, None]).exp_() * gradient[:, None]
            dh += share @ table[part]
            dtable[part] = share.T @ h
        return dh, dtable
