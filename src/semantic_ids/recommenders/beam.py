"""Batched beam search among the valid IDs, with probabilities that are renormalised over children.

A level's probabilities are those of the codes that may follow, so those of all IDs add up to 1, and
as scores only fall from level to level, a beam as wide as there are IDs finds all of them, exactly.
The same code runs on CPUs and GPUs.

What is cheap about it, each without a change to what is found:

- a prefix that one code alone can follow is not asked about: its probability is 1;
- prefixes are asked about in two rounds, the best of each user first: what scores worse than all
  continuations that fill the beam by then cannot have a better one, and no worse ones are sorted;
- continuations are flat, one number for each child that is there, never (b, W, K);
- of equal scores the first in the order of codes is better, by one integer key: a score in the
  upper half, the edge in the lower. Whole numbers also sort faster than floats.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from semantic_ids.errors import BadInput
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.scores import KnowsChildren, Scores

FIRST_SHARE, ROUNDS_FROM = 4, 512
"""Of the beam, one in so many is asked about in the first round, if there are so many prefixes to
ask about at all."""
CPU_CELLS, GPU_CELLS = 1 << 23, 1 << 26
CPU_USERS, GPU_USERS = 256, 1024
"""Logits that a step may make, and users searched for at a time: on a CPU few, so that there are
pieces for all threads. 64 to 512 are equally fast."""
EDGES = 2**32 - 1
"""The lower half of a key; an edge is taken from it, so that the first of equals is the larger."""
NOTHING = -(2**63)
"""The key of no continuation."""


@torch.no_grad()
def beam_search(
    model: Scores, children: Children, histories: Tensor, width: int | Tensor
) -> tuple[Tensor, Tensor]:
    """Find the IDs of highest probability.

    Args:
        model: The network.
        children: The trie of the IDs that may be found.
        histories: Shape (b, T), int64, padded on the right with −1, on the device of the trie.
        width: How many prefixes of each user are kept from level to level, W; or one number for
            each user, shape (b,), W being the largest.

    Returns:
        IDs, as leaves of the trie (b, W) int64, the most probable first and of equal ones the first
        in the order of codes; −1 where there are fewer. And their log-probabilities (b, W) float32,
        −∞ there.

    Raises:
        BadInput: The width is less than 1.
    """
    given = [width] if isinstance(width, int) else width.tolist()
    if min(given, default=1) < 1:
        raise BadInput(f"a beam of width {min(given)}", expected="at least 1")
    most, device = max(given, default=1), children.device
    if isinstance(width, int):
        widths = torch.full((len(histories),), width, device=device)
    else:
        widths = width.to(device)
    states = model.states(histories)
    step = _Step(model, states, children, histories, widths, most)
    keys = _cut(_first(step), widths, most)
    for level in range(1, children.levels):
        keys = _following(step, level, keys)
    missing = keys.new_full((len(keys), most - keys.shape[1]), NOTHING)
    return _read(torch.cat([keys, missing], dim=1))


def users_at_once(children: Children, width: int) -> int:
    """Return how many users to search for at a time, so that a step fits the memory."""
    on_cpu = children.device.type == "cpu"
    cells, most = (CPU_CELLS, CPU_USERS) if on_cpu else (GPU_CELLS, GPU_USERS)
    return max(1, min(most, cells // (width * max(children.sizes))))


class _Step(NamedTuple):
    """What it takes to go on from a level."""

    model: Scores
    states: Any
    children: Children
    histories: Tensor
    widths: Tensor
    most: int

    def seen(self, level: int) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the edges of a level under which items of the histories lie, each once.

        Users (s,), edges (s,), and what is added to their logits (s,); None for nothing.
        """
        bias = getattr(self.model, "seen_bias", None)
        if bias is None:
            return None
        n, size = len(self.children.item_nodes), len(self.children.codes[level])
        rows = torch.arange(len(self.histories), device=self.histories.device)[:, None]
        items = (rows * n + self.histories)[self.histories >= 0].unique()
        users, items = items // n, items % n
        under = self.children.prefix_nodes[items, level]
        keys, number = (users * size + under)[under >= 0].unique(return_inverse=True)
        allowed = (self.children.item_nodes[items, level] >= 0)[under >= 0]
        edges, had = keys % size, torch.bincount(number[allowed], minlength=len(keys))
        some, *every = bias[level].float().reshape(-1)
        added = some.expand(len(edges))
        if every:
            added = added + (had == self.children.items_below[level][edges]) * every[0]
        return keys // size, edges, added

    def logits(
        self, rows: Tensor, level: int, nodes: Tensor, owner: Tensor, edges: Tensor
    ) -> Tensor:
        """Return the logits of the children of prefixes: (m,), (m,) nodes, (E,), (E,) → (E,)."""
        prefixes, codes = self.children.prefixes(nodes, level), self.children.codes[level][edges]
        if isinstance(self.model, KnowsChildren):
            items = self.children.first_items[level][edges]
            found = self.model.child_logits(self.states, rows, prefixes, owner, codes, items)
            return found.float()
        return self.model.next_logits(self.states, rows, prefixes).float()[owner, codes]


def _first(step: _Step) -> Tensor:
    """Return the keys of the first codes: (b, N_1). One node has them all, so this is a table."""
    codes, users = step.children.codes[0], len(step.histories)
    edges = torch.arange(len(codes), device=codes.device).expand(users, -1)
    if len(codes) == 1 or not users:
        return _keys(torch.zeros(edges.shape, device=codes.device), edges)
    rows = torch.arange(users, device=codes.device)
    logits = step.model.next_logits(step.states, rows, edges.new_empty((users, 0))).float()
    if len(codes) < logits.shape[1]:
        logits = logits[:, codes]
    if seen := step.seen(0):
        logits = logits.clone()
        logits[seen[:2]] += seen[2]
    return _keys(logits.log_softmax(1), edges)


def _following(step: _Step, level: int, keys: Tensor) -> Tensor:
    """Go on by a code: the keys of the best continuations of all prefixes of a user, (b, W)."""
    nodes, scores = _read(keys)
    starts = step.children.starts[level]
    first = starts[nodes.clamp_min(0)]
    count = (starts[nodes.clamp_min(0) + 1] - first) * (nodes >= 0)
    several = count > 1
    found = _cut(torch.where(count == 1, _keys(scores, first), NOTHING), step.widths, step.most)
    rounds = [several]
    if int(several.sum()) >= ROUNDS_FROM:
        late = torch.arange(nodes.shape[1], device=nodes.device) >= nodes.shape[1] // FIRST_SHARE
        rounds = [several & ~late, several & late]
    for asked in rounds:
        bar = _bar(found, step.widths)
        rows, column = (asked & (scores >= bar)).nonzero(as_tuple=True)
        if len(rows):
            of = (each[rows, column] for each in (nodes, scores, first, count))
            more = _ask(step, level, bar[:, 0], rows, *of)
            found = _cut(torch.cat([found, more], dim=1), step.widths, step.most)
    return found


def _bar(keys: Tensor, widths: Tensor) -> Tensor:
    """Return the score that continuations must reach: (b, 1), −∞ where the beam is not full."""
    last = widths[:, None] - 1
    full = last < keys.shape[1]
    _, scores = _read(keys.gather(1, last.clamp_max(keys.shape[1] - 1)))
    return scores.masked_fill(~full, -torch.inf)


def _ask(
    step: _Step,
    level: int,
    bar: Tensor,
    rows: Tensor,
    nodes: Tensor,
    scores: Tensor,
    first: Tensor,
    count: Tensor,
) -> Tensor:
    """Return the keys of the continuations of prefixes that reach the bar.

    Args:
        step: What is searched with.
        level: To go on by.
        bar: Shape (b,).
        rows: Shape (m,), ascending: whose each prefix is.
        nodes: Shape (m,): the nodes of the prefixes.
        scores: Shape (m,): their log-probabilities.
        first: Shape (m,): their first edges.
        count: Shape (m,): how many edges they have.

    Returns:
        Those of each user in a row: (b, most).
    """
    owner = torch.repeat_interleave(count)
    edges = torch.arange(len(owner), device=rows.device) + (first - _before(count))[owner]
    values = step.logits(rows, level, nodes, owner, edges)
    if seen := step.seen(level):
        found, place = _places(seen, step.children.parents[level], rows, nodes, first, count)
        values = values.index_put((place,), values[place] + seen[2][found])
    values = _log_softmax(values, owner, count) + scores[owner]
    good = (values >= (bar[rows])[owner]).nonzero()[:, 0]
    users, keys = rows[owner[good]], _keys(values[good], edges[good])
    of_user = torch.bincount(users, minlength=len(bar))
    place = torch.arange(len(users), device=rows.device) - _before(of_user)[users]
    found = rows.new_full((len(bar), int(of_user.max())), NOTHING)
    found[users, place] = keys
    return found


def _places(
    seen: tuple[Tensor, Tensor, Tensor],
    parents: Tensor,
    rows: Tensor,
    nodes: Tensor,
    first: Tensor,
    count: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return which seen edges are among the continuations, and where: (s,) bool, (s',) of (E,)."""
    users, edges = seen[:2]
    asked, order = (rows * len(parents) + nodes).sort()
    wanted = users * len(parents) + parents[edges]
    place = torch.searchsorted(asked, wanted).clamp_max(len(asked) - 1)
    found = asked[place] == wanted
    owner = order[place[found]]
    return found, _before(count)[owner] + edges[found] - first[owner]


def _log_softmax(values: Tensor, owner: Tensor, count: Tensor) -> Tensor:
    """Return log-probabilities among the children of each prefix: (E,), (E,), (m,) → (E,)."""
    values = values - torch.segment_reduce(values, "max", lengths=count)[owner]
    return values - torch.segment_reduce(values.exp(), "sum", lengths=count).log()[owner]


def _before(count: Tensor) -> Tensor:
    return count.cumsum(0) - count


def _cut(keys: Tensor, widths: Tensor, most: int) -> Tensor:
    """Keep the best of each row, the best first: (b, n) → (b, min(n, W))."""
    best = keys.topk(min(most, keys.shape[1]), dim=1).values
    column = torch.arange(best.shape[1], device=best.device)
    return best.masked_fill(column >= widths[:, None], NOTHING)


def _keys(scores: Tensor, edges: Tensor) -> Tensor:
    """Pack scores, float32, and edges into whole numbers that sort as they do."""
    bits = (scores + 0.0).view(torch.int32).long()  # + 0 makes −0 equal to 0
    return ((bits ^ ((bits >> 63) & 0x7FFFFFFF)) << 32) | (EDGES - edges)


def _read(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the edges and scores of keys, −1 and −∞ for nothing: the inverse of `_keys`."""
    bits, nothing = keys >> 32, keys == NOTHING
    scores = (bits ^ ((bits >> 63) & 0x7FFFFFFF)).int().view(torch.float32)
    edges = EDGES - (keys & EDGES)
    return edges.masked_fill(nothing, -1), scores.masked_fill(nothing, -torch.inf)
