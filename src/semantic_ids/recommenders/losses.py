"""The loss of one level of an ID.

A softmax over the codes that may follow the true prefix gives every valid ID a probability, and all
of them one that adds up to 1; the losses of the levels of an ID then add up to −log of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semantic_ids.recommenders.children import Children


def over_children(
    logits: Tensor, children: Children, level: int, nodes: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Return −log p of the true codes among those that may follow: (m,).

    Args:
        logits: Shape (m, K_l).
        children: The trie of all IDs.
        level: Which level it is, from 0.
        nodes: Shape (m, L), int64: the nodes of the true prefixes (`Children.item_nodes`).
        smoothing: Share of the target that is dealt out evenly to all that may follow.
    """
    if level == 0:
        codes = children.codes[0]
        some = len(codes) < logits.shape[1]
        found, aim = logits[:, codes] if some else logits, nodes[:, 0]
        found = found.float()
        mean = found.mean(1) if smoothing else None
    else:
        parents = nodes[:, level - 1]
        codes, _, valid = children.of(parents, level)
        aim = nodes[:, level] - children.starts[level][parents]
        found = logits.gather(1, codes).float()
        mean = (found * valid).sum(1) / valid.sum(1) if smoothing else None
        found = found.masked_fill(~valid, -torch.inf)
    total = found.logsumexp(1)
    loss = total - found.gather(1, aim[:, None])[:, 0]
    return loss if mean is None else (1 - smoothing) * loss + smoothing * (total - mean)


def over_codes(
    logits: Tensor, children: Children, level: int, nodes: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Return −log p of the true codes among all codes of the level, whether valid or not: (m,)."""
    codes = children.codes[level][nodes[:, level]]
    return nn.functional.cross_entropy(
        logits.float(), codes, reduction="none", label_smoothing=smoothing
    )


LOSSES = {"children": over_children, "codes": over_codes}
"""What the softmax is over → the loss."""
