"""What was judged, as named numbers for a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_ids.recommenders.bootstrap import Interval, difference, interval
from semantic_ids.recommenders.judging import Judged
from semantic_ids.recommenders.ranking import MEASURES
from semantic_ids.recommenders.slices import BOUNDS, by_popularity, popularity_percentiles


def summary(
    judged: Judged,
    training_counts: np.ndarray,
    *,
    resamples: int = 1000,
    bounds: Sequence[int] = BOUNDS,
    seed: int = 0,
) -> dict[str, float]:
    """Return all figures of a recommender by name; those without a value are left out.

    Args:
        judged: What it did.
        training_counts: Shape (n,): training events of each item.
        resamples: Draws of users for the 95 % intervals; 0 for none.
        bounds: Of the slices.
        seed: Of the draws.

    Returns:
        `recall_at_10` (and so on), with `.low` and `.high`; `counting_ids.recall_at_10` where IDs
        collide; `slice.<name>.recall_at_10` and `slice.<name>.targets`; `coverage_at_10`;
        `popularity_at_10`: mean training events of what is recommended as a multiple of those of
        the targets; `percentile_at_10` and `percentile_of_targets`: mean share of the catalogue
        that is less popular; `targets`, `seconds`, `targets_per_second`.
    """
    found: dict[str, float] = {"targets": len(judged.targets), "seconds": judged.seconds}
    if judged.seconds > 0:
        found["targets_per_second"] = len(judged.targets) / judged.seconds
    if not len(judged.targets):
        return found
    cases = judged.cases()
    found |= _with_interval(judged, cases, resamples, seed)
    if judged.collide:
        found |= _means("counting_ids.", judged.ks, judged.cases(counting_ids=True))
    counts = training_counts[judged.targets]
    for name, inside in by_popularity(counts, bounds).items():
        found[f"slice.{name}.targets"] = int(inside.sum())
        if inside.any():
            chosen = {measure: values[inside] for measure, values in cases.items()}
            found |= _means(f"slice.{name}.", judged.ks, chosen)
    return found | _recommended(judged, training_counts)


def compared(
    one: Judged, other: Judged, *, resamples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Return how much better one recommender is than another on the same targets.

    By name of the measure: the difference, with `.low` and `.high` of a 95 % interval of it.

    Raises:
        ValueError: They were not judged on the same targets.
    """
    if not np.array_equal(one.positions, other.positions):
        raise ValueError("two recommenders were judged on different targets")
    ks = tuple(k for k in one.ks if k in other.ks)
    mine, theirs = one.places.expected(ks), other.places.expected(ks)
    return _named(
        ks,
        difference(_columns(mine), _columns(theirs), one.users, resamples=resamples, seed=seed),
    )


def _with_interval(
    judged: Judged, cases: dict[str, np.ndarray], resamples: int, seed: int
) -> dict[str, float]:
    if not resamples:
        return _means("", judged.ks, cases)
    values = interval(_columns(cases), judged.users, resamples=resamples, seed=seed)
    return _named(judged.ks, values)


def _columns(cases: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([cases[name] for name in MEASURES], axis=1)


def _named(ks: Sequence[int], values: Interval) -> dict[str, float]:
    names = [f"{measure}_at_{k}" for measure in MEASURES for k in ks]
    found = {}
    for place, name in enumerate(names):
        found[name] = float(values.mean[place])
        found[f"{name}.low"] = float(values.low[place])
        found[f"{name}.high"] = float(values.high[place])
    return found


def _means(before: str, ks: Sequence[int], cases: dict[str, np.ndarray]) -> dict[str, float]:
    return {
        f"{before}{measure}_at_{k}": float(cases[measure][:, place].mean())
        for measure in MEASURES
        for place, k in enumerate(ks)
    }


def _recommended(judged: Judged, training_counts: np.ndarray) -> dict[str, float]:
    """Return coverage and popularity of what is recommended."""
    recommended, found = judged.recommended, dict[str, float]()
    wanted = float(training_counts[judged.targets].mean())
    percent = popularity_percentiles(training_counts)[judged.targets].mean()
    found["percentile_of_targets"] = float(percent)
    for k, coverage, popularity, percentile in zip(
        judged.ks,
        recommended.coverage(),
        recommended.popularity(training_counts),
        recommended.percentile(training_counts),
        strict=True,
    ):
        found[f"coverage_at_{k}"] = float(coverage)
        if wanted > 0 and not np.isnan(popularity):
            found[f"popularity_at_{k}"] = float(popularity / wanted)
        if not np.isnan(percentile):
            found[f"percentile_at_{k}"] = float(percentile)
    return found
