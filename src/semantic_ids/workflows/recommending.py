"""Histories and IDs → a trained recommender, and what it recommends to all users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from semantic_ids.artifacts import Codes, Provenance, require_made_from
from semantic_ids.hashing import fingerprint
from semantic_ids.history import History
from semantic_ids.progress import Progress, reported_as
from semantic_ids.recommenders.catalogue import Catalogue
from semantic_ids.recommenders.histories import Histories, catalogue_of
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.recommendations import Lists, Recommendations

if TYPE_CHECKING:
    from semantic_ids.learning.checkpoints import Checkpoints
    from semantic_ids.recommenders.recommender import Recommender

TRAINING = "recommend.training"
"""What the steps of the training are reported as."""


def train_recommender(
    histories: Histories,
    ids: Codes,
    options: RecommenderOptions,
    length: int,
    checkpoints: Checkpoints | None = None,
    reported: str = TRAINING,
) -> tuple[Recommender, History]:
    """Train a recommender of the items of a catalogue.

    Args:
        histories: Who had which items.
        ids: The IDs of the items, in the order of the rows that the histories name.
        options: Which network, and how it learns.
        length: Most items of a history that it reads.
        checkpoints: Where the state is kept, if it is.
        reported: What the steps of the training are reported as.

    Returns:
        The recommender at the epoch that was best on the targets of validation, and the history of
        its training.

    Raises:
        BadInput: The histories are of other items.
    """
    from semantic_ids.recommenders.recommender import Recommender
    from semantic_ids.recommenders.training import train_network

    require_same_items(histories, ids)
    with reported_as(reported):
        trained = train_network(histories, ids.codes, ids.sizes, options, length, checkpoints)
    made = Provenance("recommender", inputs_of(histories, ids), parameters_of(options))
    known = catalogue(ids, histories)
    return Recommender(trained.model, known, options, made, trained.report), trained.history


def recommend_all(recommender: Recommender, histories: Histories) -> Recommendations:
    """Prepare what is recommended to every user after all the events that it has.

    The targets of validation and test are among these events: what is recommended is what may come
    after them. `recommender.decoding` says how many items, and whether those seen are left out.
    """
    options, users = recommender.options.decoding, histories.users

    def parts() -> Iterator[Lists]:
        every, at = WholeHistories(histories), 0
        with Progress("recommend", len(users), "users") as progress:
            for rows, scores in recommender.lists(
                every,
                options.k,
                recommender.choice(),
                options.beam,
                exclude_seen=options.exclude_seen,
            ):
                yield users[at : at + len(rows)], rows, scores
                at += len(rows)
                progress.advance(len(rows))

    inputs = {
        "recommender": recommender.provenance.fingerprint,
        "histories": histories.provenance.fingerprint,
    }
    made = Provenance("recommendations", inputs, options.to_dict())
    return Recommendations(users[:0], recommender.catalogue.item_ids, options.k, parts, made)


class WholeHistories(Sequence[np.ndarray]):
    """All events of each user, read slice by slice."""

    def __init__(self, histories: Histories) -> None:
        self._histories = histories

    def __len__(self) -> int:
        return len(self._histories)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, int):
            return self[index : index + 1][0]
        starts = self._histories.starts[index.start : index.stop + 1]
        events = np.asarray(self._histories.items[starts[0] : starts[-1]], np.int64)
        return np.split(events, (starts - starts[0])[1:-1])


def asked_with(recommender: Recommender, options: RecommenderOptions) -> Recommender:
    """Return a recommender on the device, and with the way of asking, that options name."""
    recommender.options = replace(recommender.options, decoding=options.decoding)
    return recommender.to(options.device)


def catalogue(ids: Codes, histories: Histories) -> Catalogue:
    """Return what a recommender carries of the items."""
    return Catalogue(
        as_array(ids.item_ids),
        ids.codes,
        tuple(ids.sizes),
        histories.training_counts(len(ids)),
        ids.provenance.fingerprint,
    )


def as_array(item_ids: Any) -> np.ndarray:
    """Return ids as int64, or as objects of text: (n,)."""
    values = item_ids.to_pylist() if hasattr(item_ids, "to_pylist") else list(item_ids)
    if values and all(isinstance(value, (int, np.integer)) for value in values):
        return np.array(values, dtype=np.int64)
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def without_meaning(name: str, ids: Codes, seed: int) -> Codes:
    """Return IDs of a catalogue that mean nothing.

    Args:
        name: `shuffled`: the same IDs, dealt to other items. `random`: drawn evenly.
        ids: The IDs that they are made like.
        seed: Equal seeds give equal IDs.
    """
    from semantic_ids.recommenders.controls import control_ids

    codes = control_ids(name, ids.codes, ids.sizes, seed)
    made = Provenance("semantic_ids", ids.provenance.inputs, {"name": name}, fingerprint(codes))
    return replace(ids, codes=codes, provenance=made)


def inputs_of(histories: Histories, ids: Codes) -> dict[str, str]:
    """Return the fingerprints of what a recommender is made from."""
    return {
        "histories": histories.provenance.fingerprint,
        "semantic_ids": ids.provenance.fingerprint,
    }


def parameters_of(options: RecommenderOptions) -> dict[str, Any]:
    """Return the options that the weights depend on: not how it is asked, nor what is kept."""
    left_out = {"decoding", "checkpoints", "sasrec", *({"item_level", "tiger"} - {options.kind})}
    return {name: value for name, value in options.to_dict().items() if name not in left_out}


def require_same_items(histories: Histories, ids: Codes) -> None:
    """Raise `BadInput` where histories are not of the items that IDs are of."""
    items = catalogue_of(ids.item_ids.to_pylist())
    require_made_from(histories.provenance, item_ids=items)
