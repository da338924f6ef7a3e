"""Which IDs are best for a recommender, and which metric of the IDs says so beforehand?

    python benchmarks/recommend_ids.py --work /tmp/beauty            # all of it, and the page
    python benchmarks/recommend_ids.py --work /tmp/beauty --page     # the page alone

Many tokenizers on Amazon Beauty, and on the IDs of each the same recommender with the same seeds.
Beside its figures stand the metrics that `evaluate` gives the IDs without any user. How far the two
agree is told by Spearman's rank correlation over the tokenizers, those without meaning left out:
random IDs are bad by every measure, and would make any of them look like a good one. Results are
appended to a file as soon as they are there: a benchmark that is killed goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import recommend_ids_page  # noqa: E402
from benchmarks.recommend_data import (  # noqa: E402
    BEAUTY,
    KS,
    Data,
    Results,
    Row,
    clock,
    codes_of,
    fit_options,
    grid,
    kept_ids,
    missing,
    read,
    recommender_options,
)
from semantic_ids.artifacts import Codes  # noqa: E402
from semantic_ids.recommenders.options import RecommenderOptions  # noqa: E402
from semantic_ids.workflows.recommending import parameters_of, without_meaning  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-recommend-ids.md"
EPOCHS = 8
"""Of the recommender: half of what it has by default, for there are many of them."""
METRICS = (
    "reconstruction.",
    "neighbours.",
    "hierarchy.cohesion.",
    "codes.",
    "ids.",
)
"""What the names of the metrics that are kept begin with."""


@dataclass(frozen=True)
class Candidate:
    """One way to make IDs.

    Attributes:
        name: What the page calls it.
        tokenizer: Dotted changes of the group `tokenizer`.
        identify: Changes of the group `identify`.
        control: `shuffled` or `random`: IDs without meaning, made like those of the changes.
    """

    name: str
    tokenizer: dict[str, Any] = field(default_factory=dict)
    identify: dict[str, Any] = field(default_factory=dict)
    control: str = ""


def _vae(**changes: Any) -> dict[str, Any]:
    return {"kind": "rq_vae", **{name.replace("__", "."): of for name, of in changes.items()}}


CANDIDATES = (
    Candidate("rq_kmeans 256×256×256"),
    Candidate("suffix", {}, {"strategy": "suffix"}),
    Candidate("none", {}, {"strategy": "none"}),
    Candidate("beam 1", {"rq_kmeans.beam_size": 1}),
    Candidate("no unique rounds", {"rq_kmeans.unique_rounds": 0}),
    Candidate(
        "plain k-means level by level",
        {
            "rq_kmeans.init": "k-means++",
            "rq_kmeans.iterations": 25,
            "rq_kmeans.beam_size": 1,
            "rq_kmeans.anneal_rounds": 0,
            "rq_kmeans.refine_rounds": 0,
            "rq_kmeans.unique_rounds": 0,
        },
    ),
    Candidate("balance 2", {"rq_kmeans.balance": 2.0}),
    Candidate("balance 1.2", {"rq_kmeans.balance": 1.2}),
    Candidate("whiten 0.5", {"preprocess.whiten": 0.5}),
    Candidate("whiten 1", {"preprocess.whiten": 1.0}),
    Candidate("1024×1024", {"codebook_sizes": [1024, 1024]}),
    Candidate("64×64×64", {"codebook_sizes": [64, 64, 64]}),
    Candidate("64×256×1024", {"codebook_sizes": [64, 256, 1024]}),
    Candidate("1024×256×64", {"codebook_sizes": [1024, 256, 64]}),
    Candidate("64×64×64×64", {"codebook_sizes": [64, 64, 64, 64]}),
    Candidate("256×256×256×256", {"codebook_sizes": [256, 256, 256, 256]}),
    Candidate("rq_vae 256×256×256", _vae()),
    Candidate("rq_vae, beam 1", _vae(rq_vae__codebook__beam_size=1)),
    Candidate("rq_vae, no unique epochs", _vae(rq_vae__unique__epochs=0)),
    Candidate("rq_vae 64×64×64×64", _vae(codebook_sizes=[64, 64, 64, 64])),
    Candidate("shuffled", control="shuffled"),
    Candidate("random", control="random"),
)
CONTROLS = tuple(one.name for one in CANDIDATES if one.control)


@dataclass(frozen=True, eq=False)
class Bench:
    """What all runs have in common.

    Attributes:
        data: Items and users.
        results: Where figures are kept.
        work: Folder of IDs that are kept.
        options: The recommender.
        base: Changes of the tokenizer for a trial.
        trial: Whether it is one.
        users: So many users, for a trial.
    """

    data: Data
    results: Results
    work: Path
    options: RecommenderOptions
    base: dict[str, Any]
    trial: bool
    users: int | None


def ids_of(bench: Bench, candidate: Candidate) -> tuple[Codes, Row]:
    """Return the IDs of a candidate, and what `evaluate` says of them."""
    from semantic_ids.workflows.measuring import fit_and_measure, measure

    data, options = bench.data, fit_options(bench.base | candidate.tokenizer, candidate.identify)
    asked = {**options.to_dict(), "control": candidate.control}

    def make() -> tuple[Any, Row]:
        taken: Row = {}
        with clock(taken):
            measured = fit_and_measure(data.vectors, options)
        if candidate.control:
            ids = without_meaning(
                candidate.control, codes_of(data, measured.ids, candidate.name), options.seed
            )
            measured = measure(data.vectors, measured.tokenizer, options, codes=ids.codes, ids=ids)
        kept = {
            name: value
            for name, value in measured.metrics.items()
            if name.startswith(METRICS) and isinstance(value, (int, float))
        }
        return measured.ids, {"metrics": kept, "fit": taken}

    return kept_ids(bench.work, data, asked, make)


def run(bench: Bench, candidate: Candidate, seed: int) -> Row:
    """Return the figures of the recommender on the IDs of a candidate."""
    ids, found = ids_of(bench, candidate)
    options = replace(bench.options, seed=bench.options.seed + seed)
    of = parameters_of(options)
    of.pop("seed")
    key = {
        "what": "ids",
        "name": candidate.name,
        "seed": seed,
        "ids": ids.provenance.fingerprint,
        "users": bench.users,
        "trial": bench.trial,
        "options": of,
    }

    def work() -> Row:
        return {"sizes": list(ids.sizes), **found, **_judged(bench, ids, options)}

    return bench.results.once(key, work)


def _judged(bench: Bench, ids: Codes, options: RecommenderOptions) -> Row:
    """Train, and measure on validation and test."""
    from semantic_ids.recommenders.judge_options import JudgeOptions
    from semantic_ids.recommenders.summary import summary
    from semantic_ids.workflows.judging import Case, judged_ids
    from semantic_ids.workflows.recommending import train_recommender

    data, taken, row = bench.data, Row(), Row()
    with clock(taken):
        made, _ = train_recommender(data.histories, ids, options, data.length)
    events = made.catalogue.events
    parts: tuple[Any, ...] = ("valid", "test")
    for part in parts:
        case = Case(data.histories, JudgeOptions(ks=KS), part, data.length, events)
        row[part] = summary(judged_ids(made, case), events)
    return {"training": made.report | taken, **row}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    given = parser().parse_args(words)
    results = Results(given.out or given.work / "recommend-ids.jsonl")
    if not given.page:
        if lacks := missing(given.data):
            print(lacks)
            return
        given.work.mkdir(parents=True, exist_ok=True)
        data = read(given.data, given.work, given.users)
        changes = {name: value for one in given.set for name, value in one.items()}
        base = {name: value for one in given.fit for name, value in one.items()}
        base |= {"codebook_sizes": given.sizes} if given.sizes else {}
        options = recommender_options(
            {"device": given.device, "training.epochs": given.epochs} | changes
        )
        trial = bool(changes or base)
        bench = Bench(data, results, given.work, options, base, trial, given.users)
        chosen = [one for one in CANDIDATES if not given.only or one.name in given.only]
        for seed in range(given.seeds):  # all of them once, then again: a page can be made early
            for candidate in chosen:
                print(recommend_ids_page.line(run(bench, candidate, seed)), flush=True)
    text = recommend_ids_page.page(results.rows, CONTROLS)
    given.page_file.write_text(text, encoding="utf-8")
    print(f"written: {given.page_file}")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    add = made.add_argument
    add("--work", type=Path, required=True, help="folder for IDs, vectors and results")
    add("--data", type=Path, default=BEAUTY, help="item_emb, train, valid and test .parquet")
    add("--out", type=Path, help="file of results; default: recommend-ids.jsonl in --work")
    add("--page", action="store_true", help="make the page of the results, and measure nothing")
    add("--page-file", type=Path, default=PAGE)
    add("--only", nargs="+", choices=[one.name for one in CANDIDATES], metavar="NAME")
    add("--seeds", type=int, default=3)
    add("--epochs", type=int, default=EPOCHS, help="of the recommender")
    add("--device", default="cpu")
    add("--users", type=int, help="for a trial: the first so many users")
    one = lambda text: grid(text)[0]  # noqa: E731 - argparse calls what it gets
    add("--sizes", type=int, nargs="+", help="for a trial: sizes where a tokenizer names none")
    add("--fit", type=one, action="append", default=[], help="for a trial: option of tokenizer")
    add("--set", type=one, action="append", default=[], help="for a trial: option of recommender")
    return made


if __name__ == "__main__":
    main()
