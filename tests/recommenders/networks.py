"""A small network of random numbers, as the search sees it, and the truth in loops of Python."""

from __future__ import annotations

import numpy as np
import torch


class Drawn:
    """Logits from sums of random vectors; equal ones come often where they are rounded."""

    def __init__(self, sizes, items, seed=0, width=16, sharp=2.0, rounded=False, seen_bias=None):
        rng = torch.Generator().manual_seed(seed)

        def table(*shape):
            return torch.randn(shape, generator=rng)

        self.items, self.sharp, self.rounded = table(items + 1, width), sharp, rounded
        self.codes = [table(k, width) for k in sizes]
        self.heads = [table(width, k) / width**0.5 for k in sizes]
        self.asked, self.seen_bias = 0, seen_bias

    def states(self, histories):
        return torch.tanh(self.items[histories].sum(1))  # −1 is the last row

    def next_logits(self, states, rows, prefixes):
        assert (rows.diff() >= 0).all()
        level = prefixes.shape[1]
        self.asked += len(rows)
        x = states[rows] + sum(
            (self.codes[place][prefixes[:, place]] for place in range(level)), torch.zeros(())
        )
        logits = self.sharp * (torch.tanh(x) @ self.heads[level])
        return logits.round() if self.rounded else logits


def moved(model, device):
    model.items = model.items.to(device)
    model.codes = [table.to(device) for table in model.codes]
    model.heads = [table.to(device) for table in model.heads]
    if model.seen_bias is not None:
        model.seen_bias = model.seen_bias.to(device)
    return model


def log_softmax(logits):
    top = max(logits)
    total = np.log(sum(np.exp(x - top) for x in logits))
    return [x - top - total for x in logits]


def all_ids(model, codes, history, allowed=slice(None)):
    """Log-probability of every distinct ID allowed, by one user and one prefix at a time."""
    states = model.states(torch.as_tensor(history)[None])
    ids = sorted({tuple(row) for row in codes[allowed].tolist()})
    past = [tuple(codes[item].tolist()) for item in history.tolist() if item >= 0]
    had = {i[: level + 1] for i in past for level in range(len(i))}
    found = {(): 0.0}
    for level in range(codes.shape[1]):
        longer = {}
        for prefix, score in found.items():
            following = sorted({i[level] for i in ids if i[:level] == prefix})
            asked = torch.tensor([prefix], dtype=torch.int64).reshape(1, level)
            logits = model.next_logits(states, torch.zeros(1, dtype=torch.int64), asked)[0]
            steps = [float(logits[code]) for code in following]
            if model.seen_bias is not None:
                for place, code in enumerate(following):
                    if (*prefix, code) in had:
                        steps[place] += float(model.seen_bias[level])
            steps = log_softmax(steps)
            longer |= {(*prefix, c): score + s for c, s in zip(following, steps, strict=True)}
        found = longer
    return found
