"""What a recommender is worth: its figures, beside those of baselines and controls."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from semantic_ids.artifacts import Codes
from semantic_ids.errors import BadInput
from semantic_ids.progress import reported_as
from semantic_ids.recommenders.histories import Histories, Part
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.ranking import MEASURES
from semantic_ids.workflows.recommending import train_recommender, without_meaning

if TYPE_CHECKING:
    from semantic_ids.recommenders.judging import Judged
    from semantic_ids.recommenders.recommender import Recommender

logger = logging.getLogger(__name__)

Metrics = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Case:
    """What is measured on: the same for all.

    Attributes:
        histories: Whose targets.
        options: What is measured.
        part: Which targets.
        length: Most items of a history.
        events: Shape (n,): training events of each item.
        vectors: Shape (n, D): what the IDs were made from; None where nothing asks for them.
        k: Length of the lists that users get.
    """

    histories: Histories
    options: JudgeOptions
    part: Part
    length: int
    events: np.ndarray
    vectors: np.ndarray | None = None
    k: int = 10

    @property
    def ks(self) -> tuple[int, ...]:
        """At which lengths of the lists it is measured: that of the lists is among them."""
        return tuple(sorted({*self.options.ks, self.k}))


def judge(
    recommender: Recommender,
    histories: Histories,
    ids: Codes,
    options: JudgeOptions,
    vectors: np.ndarray | None = None,
) -> Metrics:
    """Measure a recommender on the targets of the test, all users and the whole catalogue.

    Args:
        recommender: Trained on these histories and IDs.
        histories: Whose last events are the targets.
        ids: The IDs of the items.
        options: At which k, beside which baselines and controls.
        vectors: Shape (n, D): the embeddings, for the baseline `neighbours`.

    Returns:
        The metrics by name, JSON-like; one that has no value is absent.

    Raises:
        BadInput: There are no targets.
    """
    require_targets(histories, "test")
    events = recommender.catalogue.events
    asked = recommender.options.decoding
    case = Case(histories, options, "test", recommender.length, events, vectors, asked.k)
    main = judged_ids(recommender, case)
    found = described(recommender, case) | _named("recommend.", main, case)
    say("recommender", found, "recommend.", asked.k)
    other = "seen" if asked.exclude_seen else "unseen"
    turned = judged_ids(recommender, case, exclude_seen=not asked.exclude_seen)
    found |= _brief(f"recommend.{other}.", turned, case)
    say(f"recommender, seen items {'kept' if asked.exclude_seen else 'left out'}", found,
        f"recommend.{other}.", asked.k)  # fmt: skip
    found |= beams(recommender, case, main)
    for prefix, judged in _others(recommender, case, ids):
        found |= _brief(prefix, judged, case)
        found |= _differences(f"{prefix}difference.", main, judged, case)
        say(prefix.removeprefix("recommend.").rstrip("."), found, prefix, asked.k)
    return found


def require_targets(histories: Histories, part: Part) -> None:
    """Raise `BadInput` where nothing is to be predicted."""
    if not len(histories.targets(part)):
        raise BadInput(
            f"no user has a target of the {part}",
            where="histories",
            expected="users whose last item can be held out, or a split that leaves some",
        )


def described(recommender: Recommender, case: Case) -> Metrics:
    """Return how many there are of everything, and what the training came to."""
    asked = recommender.options.decoding
    of_histories = {f"recommend.histories.{n}": v for n, v in case.histories.report.items()}
    training = {f"recommend.training.{name}": v for name, v in recommender.report.items()}
    return {
        "recommend.users": len(case.histories),
        "recommend.items": len(recommender.catalogue),
        "recommend.k": asked.k,
        "recommend.beam": asked.beam,
        **_scalars(of_histories),
        **_scalars(training),
    }


def judged_ids(
    recommender: Recommender,
    case: Case,
    *,
    beam: int | None = None,
    exclude_seen: bool | None = None,
    ks: Sequence[int] | None = None,
) -> Judged:
    """Look for the targets in the lists of a recommender."""
    from semantic_ids.recommenders.judging import judge_ids

    asked = recommender.options.decoding
    return judge_ids(
        recommender.network,
        recommender.choice().children,
        case.histories,
        case.part,
        length=case.length,
        ks=ks or case.ks,
        beam=beam or asked.beam,
        exclude_seen=asked.exclude_seen if exclude_seen is None else exclude_seen,
    )


def beams(recommender: Recommender, case: Case, main: Judged) -> Metrics:
    """Return what other widths of the beam give at the length of the lists, and how fast."""
    found: Metrics = {}
    k = recommender.options.decoding.k
    for width in case.options.beams:
        if width < k:
            continue
        same = width == recommender.options.decoding.beam
        judged = main if same else judged_ids(recommender, case, beam=width, ks=(k,))
        values, prefix = judged.places.expected((k,)), f"recommend.beam.{width}."
        found |= {
            f"{prefix}{measure}_at_{k}": float(values[measure].mean()) for measure in MEASURES
        }
        found[f"{prefix}users_per_second"] = len(judged.users) / max(judged.seconds, 1e-9)
    return found


def _named(prefix: str, judged: Judged, case: Case) -> Metrics:
    """Return all figures of a recommender by name."""
    from semantic_ids.recommenders.summary import summary

    options = case.options
    found = summary(judged, case.events, resamples=options.resamples, bounds=options.slices)
    return {f"{prefix}{name}": value for name, value in found.items()}


def _brief(prefix: str, judged: Judged, case: Case) -> Metrics:
    """Return the measures at each k; those of slices and the like at that of the lists."""
    at_k = f"_at_{case.k}"
    return {
        name: value
        for name, value in _named(prefix, judged, case).items()
        if name.removeprefix(prefix).startswith((*MEASURES, "targets"))
        or name.endswith((".targets", at_k))
    }


def _differences(prefix: str, ours: Judged, theirs: Judged, case: Case) -> Metrics:
    """Return by how much the recommender is better, target by target, with intervals."""
    from semantic_ids.recommenders.summary import compared

    found = compared(ours, theirs, resamples=case.options.resamples)
    at_k = f"_at_{case.k}"
    return {f"{prefix}{n}": v for n, v in found.items() if f"{n}.".partition(at_k + ".")[1]}


def _others(recommender: Recommender, case: Case, ids: Codes) -> Iterator[tuple[str, Judged]]:
    """Yield baselines and controls, judged, with what their metrics begin with."""
    for name in case.options.baselines:
        yield f"recommend.baseline.{name}.", _judged_baseline(name, recommender, case)
    for name in case.options.controls:
        yield f"recommend.control.{name}.", _judged_control(name, recommender, case, ids)


def _judged_baseline(name: str, recommender: Recommender, case: Case) -> Judged:
    """Train and judge a recommender that knows no IDs."""
    from semantic_ids.recommenders.baselines import make_baseline
    from semantic_ids.recommenders.judging import judge_items
    from semantic_ids.recommenders.training import train_sasrec

    ranker: Any = None
    items = len(recommender.catalogue)
    if name == "sasrec":
        with reported_as("recommend.baseline.sasrec"):
            ranker = train_sasrec(case.histories, items, recommender.options, case.length).model
    return judge_items(
        ranker or make_baseline(name, case.histories, items, case.length, case.vectors),
        case.histories,
        case.part,
        items=items,
        length=case.length,
        ks=case.ks,
        exclude_seen=recommender.options.decoding.exclude_seen,
        device=recommender.device if ranker else "cpu",
    )


def _judged_control(name: str, recommender: Recommender, case: Case, ids: Codes) -> Judged:
    """Train the same recommender on IDs without meaning, and judge it."""
    other = without_meaning(name, ids, recommender.options.seed)
    trained, _ = train_recommender(
        case.histories,
        other,
        recommender.options,
        case.length,
        reported=f"recommend.control.{name}",
    )
    return judged_ids(trained, case)


def say(what: str, found: Metrics, prefix: str, k: int) -> None:
    """Log Recall and NDCG of a system, with their intervals."""
    said = []
    for measure, title in (("recall", "Recall"), ("ndcg", "NDCG")):
        name = f"{prefix}{measure}_at_{k}"
        if name in found:
            within = f"{found[f'{name}.low']:.4f} to {found[f'{name}.high']:.4f}"
            said.append(f"{title}@{k} {found[name]:.4f} ({within})")
    logger.info("%s: %s", what, ", ".join(said))


def _scalars(values: Metrics) -> Metrics:
    return {n: v for n, v in values.items() if isinstance(v, (int, float, str, bool))}
