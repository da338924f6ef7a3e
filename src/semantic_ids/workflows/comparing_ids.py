"""The same recommender on several sets of IDs: which IDs are better, and is it more than chance?"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from semantic_ids.artifacts import Codes
from semantic_ids.recommenders.bootstrap import Interval, difference, interval
from semantic_ids.recommenders.compare_options import CompareOptions
from semantic_ids.recommenders.histories import Histories
from semantic_ids.recommenders.judge_options import JudgeOptions
from semantic_ids.recommenders.options import RecommenderOptions
from semantic_ids.recommenders.ranking import MEASURES
from semantic_ids.workflows.judging import Case, judged_ids, require_targets
from semantic_ids.workflows.recommending import train_recommender

logger = logging.getLogger(__name__)

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found of each set of IDs.

    Attributes:
        rows: A row a set of IDs, JSON-like, in the order in which they were named: `ids`, how they
            are, and of each measure at each k the mean over the seeds, `….low` and `….high` of its
            interval over users, `….of_seeds` (the mean of each seed), and from the second row on
            `….difference` to the first row, with its interval.
        about: What is the same for all rows.
    """

    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all of it, JSON-like."""
        return {**self.about, "ids": self.rows}

    def table_rows(self) -> list[Row]:
        """Return the rows, each with all columns: None where the first has no difference."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        return [{name: row.get(name) for name in names} for row in self.rows]

    def markdown(self, k: int = 10) -> str:
        """Return a table of Recall and NDCG at k, with the differences to the first row."""
        columns = [("recall", f"Recall@{k}"), ("ndcg", f"NDCG@{k}")]
        head = ["IDs", "unique", *(text for _, name in columns for text in (name, "− first"))]
        lines = [
            [
                row["ids"],
                f"{row['unique_rate']:.3f}",
                *(text for name, _ in columns for text in _cells(row, f"{name}_at_{k}")),
            ]
            for row in self.rows
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def compare_ids(
    histories: Histories,
    ids_of: Callable[[str, Codes | None], Codes],
    recommender: RecommenderOptions,
    length: int,
    compare: CompareOptions,
    judge: JudgeOptions,
) -> Comparison:
    """Train and judge the same recommender on several sets of IDs, with the same seeds.

    Users are drawn alike for all, so differences are of pairs: their intervals are much narrower
    than those of the figures. They tell chance among users from a difference; the seeds tell what
    chance in the training does.

    Args:
        histories: Who had which items.
        ids_of: Returns the IDs of a name, given those of the first name (None for the first).
        recommender: The recommender.
        length: Most items of a history.
        compare: Which IDs, how many seeds, which targets.
        judge: At which k.

    Raises:
        BadInput: There are no targets, or a training or a set of IDs is refused.
    """
    require_targets(histories, compare.part)
    first: Codes | None = None
    base: np.ndarray | None = None
    rows: list[Row] = []
    for name in compare.ids:
        ids = ids_of(name, first)
        first = ids if first is None else first
        events = histories.training_counts(len(ids))
        case = Case(histories, judge, compare.part, length, events, k=recommender.decoding.k)
        trained = [_trained(name, ids, case, recommender, seed) for seed in range(compare.seeds)]
        tables = np.stack([table for table, _, _ in trained])  # seeds, targets, measures
        table, users = tables.mean(axis=0), trained[0][1]
        row = {**_described(name, ids), **_sums([report for _, _, report in trained])}
        row |= _figures(tables, table, users, case)
        if base is not None:
            apart = difference(table, base, users, resamples=judge.resamples)
            row |= _with_ends(apart, case, ".difference")
        base = table if base is None else base
        rows.append(row)
        logger.info("%s", Comparison([row]).markdown(recommender.decoding.k).splitlines()[-1])
    about = {"part": compare.part, "seeds": compare.seeds, "targets": len(users)}
    return Comparison(rows, about)


def _trained(
    name: str, ids: Codes, case: Case, options: RecommenderOptions, number: int
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Train with one seed; return measures (t, c) and users (t,) of the targets, and the report."""
    seeded = replace(options, seed=options.seed + number)
    reported = f"compare_ids.{name}.{number}"
    made, _ = train_recommender(case.histories, ids, seeded, case.length, reported=reported)
    judged = judged_ids(made, case)
    values = judged.places.expected(case.ks)
    table = np.concatenate([values[measure] for measure in MEASURES], axis=1)
    return table, judged.users, made.report


def _names(case: Case) -> list[str]:
    return [f"{measure}_at_{k}" for measure in MEASURES for k in case.ks]


def _figures(tables: np.ndarray, table: np.ndarray, users: np.ndarray, case: Case) -> Row:
    found = _with_ends(interval(table, users, resamples=case.options.resamples), case)
    for at, name in enumerate(_names(case)):
        found[f"{name}.of_seeds"] = [float(value) for value in tables[:, :, at].mean(axis=1)]
    return found


def _with_ends(found: Interval, case: Case, of: str = "") -> Row:
    ends = {"": found.mean, ".low": found.low, ".high": found.high}
    return {
        f"{name}{of}{end}": float(values[at])
        for at, name in enumerate(_names(case))
        for end, values in ends.items()
    }


def _described(name: str, ids: Codes) -> Row:
    """Return what a set of IDs is like."""
    _, counts = np.unique(ids.codes, axis=0, return_counts=True)
    return {
        "ids": name,
        "sizes": [int(size) for size in ids.sizes],
        "levels": ids.levels,
        "unique_rate": len(counts) / max(1, len(ids)),
        "max_collision": int(counts.max(initial=0)),
        "fingerprint": ids.provenance.fingerprint,
    }


def _sums(reports: Sequence[dict[str, Any]]) -> Row:
    """Return parameters, and means of what the trainings came to."""
    return {
        "parameters": reports[0].get("parameters"),
        "epochs": float(np.mean([report["epochs"] for report in reports])),
        "seconds": float(np.mean([report["seconds"] for report in reports])),
    }


def _cells(row: Row, name: str) -> tuple[str, str]:
    """Write a figure with its interval, and its difference to the first row."""
    if name not in row:
        return "", ""
    value = f"{row[name]:.4f} ({row[f'{name}.low']:.4f} to {row[f'{name}.high']:.4f})"
    if f"{name}.difference" not in row:
        return value, ""
    apart = [row[f"{name}.difference{end}"] for end in ("", ".low", ".high")]
    return value, "{:+.4f} ({:+.4f} to {:+.4f})".format(*apart)
