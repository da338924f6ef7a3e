"""A trained recommender: histories in, the items that may come next out.

    recommender = Recommender.load("data/06_models/recommender")
    found = recommender.recommend([[11, 5, 7], [3]], k=10, exclude_seen=True)
    found.item_ids[0], found.log_probabilities[0]

It knows no users: whoever has a history can be recommended something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch

from semantic_ids.arrays import chunks
from semantic_ids.artifacts import Provenance
from semantic_ids.compute.devices import full_precision, resolve
from semantic_ids.compute.threads import each_part
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.recommenders import format as on_disk
from semantic_ids.recommenders.beam import beam_search, users_at_once
from semantic_ids.recommenders.catalogue import Catalogue
from semantic_ids.recommenders.children import Children
from semantic_ids.recommenders.lists import ItemsById, item_lists

if TYPE_CHECKING:
    from semantic_ids.recommenders.options import RecommenderOptions

Unknown = Literal["skip", "raise"]
PARTS = 32
"""Parts of users that are handed out to threads together."""


@dataclass(frozen=True, eq=False)
class Recommended:
    """What was found for some histories.

    Attributes:
        item_ids: Of each history the ids of at most k items, those of the likeliest ID first, and
            of one ID those that were trained on most: none where no item of the history is known.
        log_probabilities: Of each history the natural logarithms of their probabilities; that of
            an ID is shared out evenly among its items.
        unknown: How many items of the histories the catalogue does not have.
    """

    item_ids: list[np.ndarray]
    log_probabilities: list[np.ndarray]
    unknown: int


@dataclass(frozen=True, eq=False)
class Choice:
    """The IDs that may be recommended, as the search wants them."""

    children: Children
    items: ItemsById


class Recommender:
    """A trained network with the items that it can recommend.

    Args:
        network: A module that implements `beam.Scores`, with the `length` of the histories that it
            takes.
        catalogue: The items.
        options: How it was made, and how it decodes where nothing else is said.
        provenance: What it was made from.
        report: What its training came to, JSON-like.
    """

    def __init__(
        self,
        network: Any,
        catalogue: Catalogue,
        options: RecommenderOptions,
        provenance: Provenance | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        self.network, self.catalogue, self.options = network.eval(), catalogue, options
        made = provenance or Provenance("recommender")
        self.provenance = Provenance(
            "recommender", made.inputs, made.parameters, self._fingerprint()
        )
        self.report = dict(report or {})

    @property
    def length(self) -> int:
        """Most items of a history that it reads."""
        return int(self.network.length)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        found: torch.device = next(self.network.parameters()).device
        return found

    def to(self, device: str | torch.device) -> Self:
        """Move it to a device, `auto`, `cpu` or `cuda`."""
        found = resolve(device) if isinstance(device, str) else device
        self.network.to(found)
        self.__dict__.pop("_all", None)
        return self

    # ---- asked -----------------------------------------------------------------------------------

    def recommend(
        self,
        histories: Iterable[Iterable[Any]],
        k: int = 10,
        *,
        exclude: Iterable[Any] | None = None,
        allow: Iterable[Any] | None = None,
        exclude_seen: bool | None = None,
        beam: int | None = None,
        unknown: Unknown = "skip",
    ) -> Recommended:
        """Recommend items that may come next.

        Args:
            histories: Of each user the ids of the items, the oldest first: lists, arrays (u, T), or
                a column of lists. The last `length` items that are known count.
            k: How many items.
            exclude: Ids of items that nobody is recommended.
            allow: Ids of the items that may be recommended; all by default.
            exclude_seen: Leave out what is in the history; as it was trained to by default.
            beam: Width of the beam, at least k; as it was trained to by default.
            unknown: What happens to items that the catalogue does not have: they are passed over
                and counted, or refused.

        Raises:
            BadInput: No item is left to recommend, an unknown item where these are refused, or a
                beam narrower than k.
        """
        rows, missing = self.rows(histories, unknown)
        choice = self.choice(exclude, allow)
        width = max(k, self.options.decoding.beam) if beam is None else beam
        require_beam(k, width)
        seen = self.options.decoding.exclude_seen if exclude_seen is None else exclude_seen
        ids: list[np.ndarray] = []
        scores: list[np.ndarray] = []
        for found, score in self.lists(rows, k, choice, width, exclude_seen=seen):
            for items, values in zip(found, score, strict=True):
                there = items >= 0
                ids.append(self.catalogue.item_ids[items[there]])
                scores.append(values[there])
        return Recommended(ids, scores, missing)

    def choice(
        self, exclude: Iterable[Any] | None = None, allow: Iterable[Any] | None = None
    ) -> Choice:
        """Return the IDs of the items that may be recommended.

        Raises:
            BadInput: None is left.
        """
        if exclude is None and allow is None:
            return self._all
        allowed = np.ones(len(self.catalogue), dtype=bool)
        if allow is not None:
            allowed &= self.catalogue.mask(allow, "allow")
        if exclude is not None:
            allowed[(gone := self.catalogue.rows_of(exclude))[gone >= 0]] = False
        return self._choice(allowed)

    def lists(
        self,
        histories: Sequence[np.ndarray],
        k: int,
        choice: Choice,
        beam: int,
        *,
        exclude_seen: bool,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows (b, k) and log-probabilities (b, k) of some users at a time.

        On a CPU each thread searches for some users; what is found does not depend on how many
        threads there are.

        Args:
            histories: Of each user the rows of the items, the oldest first; taken slice by slice.
            k: How many items; −1 and −inf where there are fewer.
            choice: What may be recommended.
            beam: Width of the beam.
            exclude_seen: Leave out what is in the history. The beam is wider by as many IDs.
        """
        size = min(self.options.decoding.batch_users, users_at_once(choice.children, beam))
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

        def work(part: slice) -> None:
            found[part.start] = self._lists(histories[part], k, choice, beam, exclude_seen)

        for block in chunks(len(histories), size * PARTS):
            parts = [
                slice(at, min(at + size, block.stop)) for at in range(block.start, block.stop, size)
            ]
            if self.device.type == "cpu":
                each_part(work, parts)
            else:
                with full_precision(self.device):
                    for part in parts:
                        work(part)
            yield from (found.pop(part.start) for part in parts)

    @torch.no_grad()
    def _lists(
        self, histories: Sequence[np.ndarray], k: int, choice: Choice, beam: int, exclude_seen: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        padded = torch.from_numpy(_padded(histories, self.length)).to(self.device)
        seen = [np.unique(rows) if exclude_seen else rows[:0] for rows in histories]
        counts = np.array([len(rows) for rows in seen])
        widths = torch.from_numpy(beam + counts).to(self.device)
        leaves, scores = beam_search(self.network, choice.children, padded, widths)
        leaves[(padded < 0).all(dim=1)] = -1
        without = np.repeat(np.arange(len(seen)), counts), np.concatenate(seen).astype(np.int64)
        ids, logs = leaves.cpu().numpy(), scores.float().cpu().numpy()
        return item_lists(ids, logs, choice.items, k, without)

    def rows(
        self, histories: Iterable[Iterable[Any]], unknown: Unknown
    ) -> tuple[list[np.ndarray], int]:
        """Return the rows of each history that are known, and how many items are not.

        Args:
            histories: Of each user the ids of the items.
            unknown: `skip`, or `raise` for a refusal of the first that is not known.
        """
        if unknown not in ("skip", "raise"):
            raise BadInput(f"{unknown!r}", where="unknown", expected="skip or raise")
        given = [_history(one, number) for number, one in enumerate(histories)]
        rows = self.catalogue.rows_of(item for history in given for item in history)
        missing = int((rows < 0).sum())
        if missing and unknown == "raise":
            at = int(np.argmax(rows < 0))
            item = [item for history in given for item in history][at]
            raise BadInput(
                f"item {item!r} is not in the catalogue, and neither are {missing - 1:,} others",
                where="histories",
                expected=f"ids of items such as {self.catalogue.item_ids[0]!r}",
                do="leave them out, or take unknown='skip'",
            )
        ends = np.cumsum([len(history) for history in given])
        parts = np.split(rows, ends[:-1]) if given else []
        return [part[part >= 0] for part in parts], missing

    @cached_property
    def _all(self) -> Choice:
        return self._choice(None)

    def _choice(self, allowed: np.ndarray | None) -> Choice:
        known = self.catalogue
        children = Children(known.codes, known.sizes, self.device, allowed)
        starts, rows = (t.cpu().numpy() for t in (children.leaf_starts, children.leaf_items))
        return Choice(children, ItemsById.of(starts, rows, known.events))

    # ---- on disk ---------------------------------------------------------------------------------

    def save(self, directory: str | Path) -> None:
        """Write the folder that `load` reads: see `recommenders.format`.

        Raises:
            BadInput: There is a folder with other files, no space left, or it may not be written.
        """
        known = self.catalogue
        config = {
            "options": self.options.to_dict(),
            "sizes": list(known.sizes),
            "length": self.length,
            "semantic_ids": known.made_from,
            "report": self.report,
        }
        tensors = self.network.state_dict()
        on_disk.write(directory, on_disk.Saved(config, tensors, known.arrays(), self.provenance))

    @classmethod
    def load(cls, directory: str | Path, device: str = "auto") -> Self:
        """Read a folder that `save` has written.

        Raises:
            BadInput: There is none, it is damaged, or its content is not what it says.
        """
        from semantic_ids.recommenders.options import RecommenderOptions
        from semantic_ids.recommenders.training import build_network

        saved = on_disk.read(directory)
        config = saved.config
        try:
            options = RecommenderOptions.of(config["options"])
            known = Catalogue.of_arrays(saved.items, config["sizes"], config["semantic_ids"])
            network = build_network(options, known.codes, known.sizes, config["length"])
            network.load_state_dict(saved.tensors)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise on_disk.damaged(directory, " ".join(str(error).split())) from error
        made = cls(network, known, options, saved.provenance, config["report"])
        if made.provenance.content != saved.provenance.content:
            raise on_disk.damaged(directory, "its content is not the one that its manifest names")
        return made.to(device)

    def _fingerprint(self) -> str:
        tensors = {name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        arrays = tensors | self.catalogue.arrays()
        return fingerprint(*(part for name in sorted(arrays) for part in (name, arrays[name])))


def require_beam(k: int, beam: int) -> None:
    """Raise `BadInput` for a list longer than the beam can be sure to fill."""
    if k < 1:
        raise BadInput(f"k is {k}", expected="at least one item")
    if beam < k:
        raise BadInput(
            f"a beam of {beam} for lists of {k} items",
            where="recommender.decoding.beam",
            expected=f"at least {k}",
            do=f"take a wider beam, or shorter lists: recommender.decoding.beam={k}",
        )


def _history(given: Any, number: int) -> list[Any]:
    """Return the ids of one history; nothing for none."""
    if given is None:
        return []
    if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
        raise BadInput(
            f"{given!r}",
            where=f"histories[{number}]",
            expected="the ids of the items that one user had, the oldest first: a list",
        )
    found = given.tolist() if hasattr(given, "tolist") else list(given)
    return [one.as_py() if hasattr(one, "as_py") else one for one in found]


def _padded(histories: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Return the last items of each: (b, T) int64, from column 0 on, −1 after the last one."""
    found = np.full((len(histories), length), -1, dtype=np.int64)
    for row, history in zip(found, histories, strict=True):
        last = history[-length:]
        row[: len(last)] = last
    return found
