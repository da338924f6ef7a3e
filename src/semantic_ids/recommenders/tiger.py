"""TIGER: an encoder-decoder over the tokens of the items.

S. Rajput et al., "Recommender systems with generative retrieval", arXiv:2305.05065: a T5
(arXiv:1910.10683) of 4 + 4 layers. The encoder reads the tokens of the items that a user had, L an
item; the decoder writes the L codes of the next one.

As in T5: normalised by root mean square before each part, no biases, ReLU, and for places a bias of
the attention for each distance of two tokens, shared by the layers of a stack. Other than there:
scores are divided by √(width of a head), and each level has an output layer of its own, over its
own codes. There is no token for the user: it could not serve a new one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from semantic_ids.learning.layers import Dropout
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.losses import LOSSES
from semantic_ids.recommenders.options import TigerOptions, TrainingOptions
from semantic_ids.recommenders.tokens import Tokens

BUCKETS, FARTHEST = 32, 128
"""Distances that have a bias of their own, on both sides together; all beyond the farthest share
one."""
START_STD = 0.05
"""Standard deviation of embeddings at the start."""

State = tuple[Tensor, Tensor]
"""What the encoder made of users' tokens, (b, S, d), and which of them there are, (b, S)."""


class Tiger(nn.Module):
    """An encoder-decoder over tokens: see `beam.Scores`.

    Args:
        codes: Shape (n, L), integers: the ID of each item.
        sizes: How many codes each level has.
        options: The kind's options.
        length: Most items of a history.

    Attributes:
        length: Most items of a history.
    """

    def __init__(
        self, codes: np.ndarray, sizes: Sequence[int], options: TigerOptions, length: int
    ) -> None:
        super().__init__()
        self.length, self.tokens = length, Tokens(codes, sizes)
        self.embedding = nn.Embedding(self.tokens.size, options.dim)
        self.start = nn.Parameter(torch.empty(options.dim))
        self.dropout = Dropout(options.dropout)
        self.encoder, self.decoder = _Stack(options, reads=False), _Stack(options, reads=True)
        self.logits = nn.ModuleList(nn.Linear(options.dim, size) for size in self.tokens.sizes)
        nn.init.normal_(self.embedding.weight, std=START_STD)
        nn.init.normal_(self.start, std=START_STD)

    # ---- learning --------------------------------------------------------------------------------

    def forward(
        self, inputs: Tensor, targets: Tensor, children: Children, options: TrainingOptions
    ) -> Tensor:
        """Return the loss of each level, summed over the targets: (L,).

        Args:
            inputs: Shape (b, T), int64, padded on the right with −1.
            targets: Shape (b, T), int64: the one item to come of each, −1 elsewhere.
            children: The trie of all IDs.
            options: What the softmax is over, and label smoothing.
        """
        items = targets.amax(1)
        nodes, codes = children.item_nodes[items], self.tokens.codes(items)
        memory, there = self.states(inputs)
        written = self._write(codes[:, :-1], memory, there)
        losses = [
            LOSSES[options.softmax](
                head(written[:, at]), children, at, nodes, options.label_smoothing
            )
            for at, head in enumerate(self.logits)
        ]
        return torch.stack([loss.sum() for loss in losses])

    # ---- what a search asks ----------------------------------------------------------------------

    def states(self, histories: Tensor) -> State:
        """Return what the encoder makes of each user: (b, T) int64, padded on the right."""
        levels = len(self.tokens.sizes)
        tokens = self.tokens(histories).flatten(1)
        there = (histories >= 0).repeat_interleave(levels, dim=1)
        there[:, 0] = True  # a history without items has one token, of no meaning
        memory = self.encoder(self.dropout(self.embedding(tokens)), there)
        return memory, there

    def next_logits(self, states: State, rows: Tensor, prefixes: Tensor) -> Tensor:
        """Return the logits of the next code: see `beam.Scores`.

        The prefixes of a user stand side by side, so what the encoder made of it is there once.
        """
        memory, there = states
        counts = torch.bincount(rows, minlength=len(memory))
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        written = self._write(prefixes, memory, there, (rows, place, int(counts.max())))
        found: Tensor = self.logits[prefixes.shape[1]](written[:, -1])
        return found

    def _write(
        self,
        prefixes: Tensor,
        memory: Tensor,
        there: Tensor,
        beams: tuple[Tensor, Tensor, int] | None = None,
    ) -> Tensor:
        """Return what the decoder makes of prefixes: (m, p) → (m, p + 1, d).

        Args:
            prefixes: Codes, (m, p).
            memory: See `State`.
            there: See `State`.
            beams: Of each prefix, which user it is of and which of that user's, and how many a user
                has at most; if None each user has one.
        """
        offsets = prefixes.new_tensor(self.tokens.offsets[: prefixes.shape[1]])
        before = self.start.expand(len(prefixes), 1, -1)
        x = self.dropout(torch.cat([before, self.embedding(prefixes + offsets)], dim=1))
        found: Tensor = self.decoder(x, None, _Memory(memory, there, beams))
        return found


class _Memory:
    """What a decoder reads, for prefixes of which a user may have several."""

    def __init__(
        self, memory: Tensor, there: Tensor, beams: tuple[Tensor, Tensor, int] | None
    ) -> None:
        self.memory, self.there, self.beams = memory, there, beams

    def together(self, x: Tensor) -> Tensor:
        """Put the prefixes of each user side by side: (m, q, e) → (b, W·q, e)."""
        if self.beams is None:
            return x
        users, place, most = self.beams
        held = x.new_zeros((len(self.memory), most, *x.shape[1:]))
        held[users, place] = x
        return held.flatten(1, 2)

    def apart(self, x: Tensor, each: int) -> Tensor:
        """Undo `together`: (b, W·q, e) → (m, q, e)."""
        if self.beams is None:
            return x
        users, place, most = self.beams
        return x.unflatten(1, (most, each))[users, place]


class _Stack(nn.Module):
    """The encoder, or the decoder, which also reads."""

    def __init__(self, options: TigerOptions, *, reads: bool) -> None:
        super().__init__()
        self.reads, self.heads = reads, options.heads
        self.layers = nn.ModuleList(_Layer(options, reads=reads) for _ in range(options.layers))
        self.norm, self.dropout = nn.RMSNorm(options.dim), Dropout(options.dropout)
        self.distances = nn.Embedding(BUCKETS, options.heads)
        nn.init.zeros_(self.distances.weight)

    def forward(self, x: Tensor, there: Tensor | None, memory: _Memory | None = None) -> Tensor:
        """(b, T, d), (b, T) bool → (b, T, d)."""
        bias = self._bias(x.shape[1], x.device)
        if there is not None:
            bias = bias.masked_fill(~there[:, None, None, :], -torch.inf)
        for layer in self.layers:
            x = layer(x, bias, memory)
        found: Tensor = self.dropout(self.norm(x))
        return found

    def _bias(self, length: int, device: torch.device) -> Tensor:
        """Return what distance adds to the scores: (1, heads, T, T)."""
        at = torch.arange(length, device=device)
        ahead = at[None, :] - at[:, None]  # of the token looked at, seen from the one that looks
        bias = self.distances(buckets(ahead, both=not self.reads)).permute(2, 0, 1)
        return (bias.masked_fill(ahead > 0, -torch.inf) if self.reads else bias)[None]


def buckets(ahead: Tensor, *, both: bool) -> Tensor:
    """Return the number of the bias of each distance, as T5 numbers them.

    Half of the numbers are for distances that have one of their own, the others for ranges of
    distances that grow by equal factors.

    Args:
        ahead: How far ahead the token is that is looked at; negative where it comes before.
        both: Whether both sides are seen, so that each has half of the numbers.
    """
    count = BUCKETS // 2 if both else BUCKETS
    far = ahead.abs() if both else (-ahead).clamp_min(0)
    own = count // 2
    grown = torch.log(far.clamp_min(1) / own) / math.log(FARTHEST / own) * (count - own)
    number = torch.where(far < own, far, (own + grown.long()).clamp_max(count - 1))
    return number + count * (ahead > 0) if both else number


class _Layer(nn.Module):
    """Attention over its own tokens, in the decoder over what it reads too, and feed-forward."""

    def __init__(self, options: TigerOptions, *, reads: bool) -> None:
        super().__init__()
        dim, wide = options.dim, options.feed_forward
        self.own_norm, self.own = nn.RMSNorm(dim), _Attention(options)
        if reads:
            self.read_norm, self.read = nn.RMSNorm(dim), _Attention(options)
        self.wide_norm, self.dropout = nn.RMSNorm(dim), Dropout(options.dropout)
        self.wide = nn.Sequential(
            nn.Linear(dim, wide, bias=False),
            nn.ReLU(),
            Dropout(options.dropout),
            nn.Linear(wide, dim, bias=False),
        )

    def forward(self, x: Tensor, bias: Tensor, memory: _Memory | None) -> Tensor:
        normed = self.own_norm(x)
        x = x + self.dropout(self.own(normed, normed, bias))
        if memory is not None:
            among = x.new_zeros(memory.there.shape).masked_fill(~memory.there, -torch.inf)
            asked = memory.together(self.read_norm(x))
            found = self.read(asked, memory.memory, among[:, None, None, :])
            x = x + self.dropout(memory.apart(found, x.shape[1]))
        return x + self.dropout(self.wide(self.wide_norm(x)))


class _Attention(nn.Module):
    def __init__(self, options: TigerOptions) -> None:
        super().__init__()
        self.heads, width = options.heads, options.heads * options.head_dim
        self.query = nn.Linear(options.dim, width, bias=False)
        self.key_value = nn.Linear(options.dim, 2 * width, bias=False)
        self.out, self.dropout = nn.Linear(width, options.dim, bias=False), Dropout(options.dropout)

    def forward(self, x: Tensor, seen: Tensor, bias: Tensor) -> Tensor:
        """(b, T, d), (b, S, d), bias (·, ·, ·, S) → (b, T, d)."""
        query = self._split(self.query(x))
        key, value = (self._split(part) for part in self.key_value(seen).chunk(2, dim=-1))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]) + bias
        found = self.dropout(scores.softmax(-1)) @ value
        result: Tensor = self.out(found.transpose(1, 2).flatten(2))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """(b, T, heads·e) → (b, heads, T, e)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
