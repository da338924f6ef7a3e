"""What chooses the epoch: Recall and NDCG at 10 on targets of validation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks
from semantic_ids.compute.threads import each_part
from semantic_ids.learning import distributed
from semantic_ids.recommenders.beam import beam_search, users_at_once
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.ranking import Places, Ranker, places
from semantic_ids.recommenders.scores import Scores

AT = 10
"""Length of the lists that are judged."""
PART_USERS = 256
"""Users that a thread of a CPU searches for at a time, at most."""

Find = Callable[[Tensor, Tensor], Places]
"""Where targets (b,) stand in the lists of histories (b, T)."""


class Validation:
    """Some targets of validation, and how they are looked for.

    Users lie in the order of their hash, so the first of them are a random sample.

    Args:
        histories: All events.
        most: How many targets at most.
        length: Most items of a history.
        device: Where the network is.
        find: How lists are made and targets looked up.
        users: How many users at a time.
    """

    def __init__(
        self,
        histories: Histories,
        most: int,
        length: int,
        device: torch.device,
        find: Find,
        users: int,
    ) -> None:
        positions = histories.targets("valid")[:most]
        self.before = torch.from_numpy(histories.before(positions, length))
        self.targets = torch.from_numpy(np.asarray(histories.items[positions], np.int64))
        self.device, self.find, self.users = device, find, users

    def __len__(self) -> int:
        return len(self.targets)

    def __call__(self) -> dict[str, float]:
        """Return the means over the targets; of several processes each looks for its share."""
        all_parts = list(chunks(len(self), self.users))
        parts = all_parts[distributed.rank() :: distributed.world_size()]
        found: dict[int, np.ndarray] = {}

        def work(part: slice) -> None:
            histories, targets = self.before[part], self.targets[part]
            where = self.find(histories.to(self.device), targets.to(self.device))
            measured = where.expected([AT])
            found[part.start] = np.array([measured["ndcg"].sum(), measured["recall"].sum()])

        if self.device.type == "cpu":
            each_part(work, parts)
        else:
            for part in parts:
                work(part)
        ordered = [found[part.start] for part in parts]
        sums = torch.from_numpy(np.sum([np.zeros(2), *ordered], axis=0)).to(self.device)
        distributed.all_reduce(sums)
        ndcg, recall = (sums / len(self)).tolist()
        return {f"ndcg_at_{AT}": ndcg, f"recall_at_{AT}": recall}


def find_ids(model: Scores, children: Children, beam: int) -> Find:
    """Return a search among the IDs."""
    sizes = children.leaf_sizes

    def find(histories: Tensor, targets: Tensor) -> Places:
        leaves, _ = beam_search(model, children, histories, beam)
        counts = sizes[leaves.clamp_min(0)]
        return places(*(_host(x) for x in (leaves, children.item_nodes[targets, -1], counts)))

    return find


def find_items(model: Ranker) -> Find:
    """Return a ranking of the items."""

    def find(histories: Tensor, targets: Tensor) -> Places:
        items, _ = model.rank(histories, AT)
        return places(_host(items), _host(targets))

    return find


def users_of(device: torch.device, children: Children, beam: int) -> int:
    """Return how many users to look at a time: on a CPU so few that each thread has some."""
    most = users_at_once(children, beam)
    return min(PART_USERS, most) if device.type == "cpu" else most


def _host(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()
