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

    def of_child(self, level, prefix, codes):
        return 0.0

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


class OfChildren(Drawn):
    """A network with a number for each node of the trie of all items; the search knows another."""

    def __init__(self, sizes, codes, seed=0, **options):
        super().__init__(sizes, len(codes), seed, **options)
        nodes = [{tuple(row[: level + 1]) for row in codes.tolist()} for level in range(len(sizes))]
        rng = np.random.default_rng(seed)
        self.of_node = [
            dict(zip(sorted(of), rng.normal(size=len(of)), strict=True)) for of in nodes
        ]
        self.of_item = torch.tensor(
            [
                [of[tuple(row[: place + 1])] for place, of in enumerate(self.of_node)]
                for row in codes.tolist()
            ]
        )

    def of_child(self, level, prefix, codes):
        return self.of_node[level][prefix] if level else 0.0

    def child_logits(self, states, rows, prefixes, owner, codes, items):
        assert (owner.diff() >= 0).all() and prefixes.shape[1]
        logits = self.next_logits(states, rows, prefixes)[owner, codes]
        return logits + self.of_item[items, prefixes.shape[1]]


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
    counted = np.arange(len(codes))[allowed].tolist()
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
            for place, code in enumerate(following):
                child = (*prefix, code)
                steps[place] += model.of_child(level, child, codes)
                if model.seen_bias is not None and child in had:
                    bias = model.seen_bias[level].tolist()
                    under = {n for n in counted if tuple(codes[n, : level + 1].tolist()) == child}
                    steps[place] += bias[0] + bias[1] * (under <= set(history.tolist()))
            steps = log_softmax(steps)
            longer |= {(*prefix, c): score + s for c, s in zip(following, steps, strict=True)}
        found = longer
    return found
