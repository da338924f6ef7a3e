"""Our recommender on Amazon Beauty, beside TIGER's network, SASRec, counts and controls.

    python benchmarks/recommend.py --work /tmp/beauty --tune-sasrec   # all of it, and the page
    python benchmarks/recommend.py --work /tmp/beauty --page          # the page alone
    python benchmarks/recommend.py --work /tmp/beauty --tune "item_level.dropout=0.3|0.4"

IDs are those of the default tokenizer. Every system is trained with several seeds; validation
chooses the epoch, and then the test is looked at, once. The network of TIGER gets as many CPU
seconds as ours took with the same seed. Results are appended to a file as soon as they are there: a
benchmark that is killed goes on where it was.

With `--tune` variants of options are trained, and measured on validation alone: so settings are
chosen. `--tune-sasrec` chooses those of SASRec in the same way, one after the other.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import recommend_page  # noqa: E402
from benchmarks.recommend_budget import train_within  # noqa: E402
from benchmarks.recommend_data import (  # noqa: E402
    BEAUTY,
    KS,
    Data,
    Results,
    Row,
    clock,
    first_users,
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

NETWORKS = ("ours", "tiger", "sasrec")
BASELINES = ("popularity", "next", "cooccurrence", "neighbours")
CONTROLS = ("shuffled", "random")
SYSTEMS = (*NETWORKS, *BASELINES, *CONTROLS)
BEAMS = (10, 20, 50, 100)
SASREC_SEARCH: dict[str, tuple[Any, ...]] = {
    "sasrec.dropout": (0.5, 0.3, 0.7),
    "sasrec.dim": (64, 128),
    "sasrec.learning_rate": (0.002, 0.001, 0.004),
    "sasrec.ahead": (0.0, 0.5),
}
"""What is tried for SASRec: one option after the other, the best of each kept."""
PAGE = ROOT / "docs" / "benchmarks-recommend.md"


@dataclass(frozen=True, eq=False)
class Bench:
    """What all runs of a benchmark have in common."""

    data: Data
    ids: Codes
    results: Results
    changes: dict[str, Any]
    device: str
    users: int | None
    beam_users: int
    trial: bool

    def options(self, system: str, seed: int = 0, **others: Any) -> RecommenderOptions:
        """Return the options of a system; seeds count from that of `conf/base`."""
        kind = {"kind": "tiger" if system == "tiger" else "item_level"}
        made = recommender_options(kind | {"device": self.device} | self.changes | others)
        return replace(made, seed=made.seed + seed)

    def key(self, what: str, system: str, seed: int, options: RecommenderOptions) -> Row:
        """Return what a result is a result of."""
        of = parameters_of(options) if system not in BASELINES else {}
        if system == "sasrec":
            of = {"training": options.training.to_dict(), "sasrec": options.sasrec.to_dict()}
        of.pop("seed", None)
        of.pop("device", None)
        return {
            "what": what,
            "system": system,
            "seed": seed,
            "ids": self.ids.provenance.fingerprint,
            "device": self.device,
            "users": self.users,
            "trial": self.trial,
            "options": of,
        }


# ---- one system with one seed ----------------------------------------------------------------


def run(bench: Bench, system: str, seed: int) -> Row:
    """Return the figures of a system with a seed, measured unless they are there."""
    chosen = chosen_for_sasrec(bench) if system == "sasrec" else {}
    options = bench.options(system, seed, **chosen)
    key = bench.key("run", system, seed, options)

    def work() -> Row:
        if system in BASELINES:
            return _baseline(bench, system)
        return _sasrec(bench, options) if system == "sasrec" else _ids(bench, system, seed, options)

    return bench.results.once(key, work)


def _ids(bench: Bench, system: str, seed: int, options: RecommenderOptions) -> Row:
    """Train and judge a network that names IDs."""
    from semantic_ids.recommenders.children import Children
    from semantic_ids.recommenders.training import train_network

    data, ids = bench.data, bench.ids
    if system in CONTROLS:
        ids = without_meaning(system, ids, options.seed)
    row: Row = {}
    budget = run(bench, "ours", seed)["training"]["cpu_seconds"] if system == "tiger" else None
    taken: Row = {}
    with clock(taken):
        if budget is None:
            trained = train_network(data.histories, ids.codes, ids.sizes, options, data.length)
            model, report = trained.model, trained.report
        else:
            model, report = train_within(data.histories, ids, options, data.length, budget)
    row["training"] = report | taken | ({"budget": budget} if budget is not None else {})
    children = Children(ids.codes, ids.sizes, next(model.parameters()).device)
    row |= _judged(bench, "test", model=model, children=children)
    if not seed and system in {"ours", "tiger"}:
        row["beams"] = _beams(bench, model, children)
    return row


def _sasrec(bench: Bench, options: RecommenderOptions) -> Row:
    from semantic_ids.recommenders.training import train_sasrec

    data, taken = bench.data, Row()
    with clock(taken):
        trained = train_sasrec(data.histories, len(data.embeddings), options, data.length)
    device = str(next(trained.model.parameters()).device)
    judged = _judged(bench, "test", ranker=trained.model, device=device)
    return {"training": trained.report | taken, **judged}


def _baseline(bench: Bench, name: str) -> Row:
    from semantic_ids.recommenders.baselines import make_baseline

    data, taken = bench.data, Row()
    with clock(taken):
        items, vectors = len(data.embeddings), data.vectors
        ranker = make_baseline(name, data.histories, items, data.length, vectors)
    return {"training": taken, **_judged(bench, "test", ranker=ranker)}


def _judged(bench: Bench, part: Any, **of: Any) -> Row:
    """Return the figures of a system on the targets of a part: seen items kept, and left out."""
    from semantic_ids.recommenders.judging import judge_ids, judge_items
    from semantic_ids.recommenders.summary import summary

    data, found, beam = bench.data, Row(), recommender_options().decoding.beam
    for name, exclude in ((part, False), (f"{part}_unseen", True)):
        asked: Any = {"length": data.length, "ks": KS, "exclude_seen": exclude}
        if "ranker" in of:
            items, device = len(data.embeddings), of.get("device", "cpu")
            judged = judge_items(
                of["ranker"], data.histories, part, items=items, device=device, **asked
            )
        else:
            judged = judge_ids(
                of["model"], of["children"], data.histories, part, beam=beam, **asked
            )
        found[name] = summary(judged, data.events)
    return found


def _beams(bench: Bench, model: Any, children: Any) -> dict[str, Row]:
    """Return quality and speed by the width of the beam, for the first users."""
    from semantic_ids.recommenders.judging import judge_ids

    histories, found = first_users(bench.data.histories, bench.beam_users), {}
    for width in BEAMS:
        used = time.process_time()
        judged = judge_ids(
            model, children, histories, "test", length=bench.data.length, ks=KS, beam=width
        )
        used, cases = time.process_time() - used, judged.cases()
        found[str(width)] = {
            "users_per_second": len(judged.users) / judged.seconds,
            "users_per_cpu_second": len(judged.users) / max(used, 1e-9),
            **{f"{name}_at_10": float(cases[name][:, 1].mean()) for name in ("recall", "ndcg")},
        }
    return found


# ---- settings, by validation alone -----------------------------------------------------------


def tuned(bench: Bench, system: str, changes: dict[str, Any]) -> Row:
    """Train a variant with one seed; return what validation says of it."""
    from semantic_ids.recommenders.children import Children
    from semantic_ids.recommenders.training import train_network, train_sasrec

    options, data = bench.options(system, **changes), bench.data
    key = bench.key("tune", system, 0, options) | {"changes": changes}

    def work() -> Row:
        taken: Row = {}
        with clock(taken):
            if system == "sasrec":
                items = len(data.embeddings)
                trained = train_sasrec(data.histories, items, options, data.length)
            else:
                ids = bench.ids
                trained = train_network(data.histories, ids.codes, ids.sizes, options, data.length)
        device = next(trained.model.parameters()).device
        of: Row = {"ranker": trained.model, "device": str(device)}
        if system != "sasrec":
            children = Children(bench.ids.codes, bench.ids.sizes, device)
            of = {"model": trained.model, "children": children}
        return {"training": trained.report | taken, **_judged(bench, "valid", **of)}

    return bench.results.once(key, work)


def tune_sasrec(bench: Bench) -> dict[str, Any]:
    """Search for the settings of SASRec, one option after the other; return them."""
    chosen = {name: values[0] for name, values in SASREC_SEARCH.items()}
    for name, values in SASREC_SEARCH.items():
        found = {value: tuned(bench, "sasrec", chosen | {name: value}) for value in values}
        chosen[name] = max(values, key=lambda value: found[value]["valid"]["ndcg_at_10"])
    return chosen


def chosen_for_sasrec(bench: Bench) -> dict[str, Any]:
    """Return the settings of SASRec that were best on validation; none where none was tried."""
    wanted = {"what": "tune", "system": "sasrec", "users": bench.users}
    wanted |= {"device": bench.device, "trial": bench.trial}
    tried = [row for row in bench.results.rows if wanted.items() <= row["key"].items()]
    if not tried:
        return {}
    best: dict[str, Any] = max(tried, key=lambda row: row["valid"]["ndcg_at_10"])["key"]["changes"]
    return best


# ---- the command -----------------------------------------------------------------------------


def default_ids(data: Data, work: Path, sizes: Sequence[int] | None = None) -> Codes:
    """Return the IDs of the default tokenizer; `sizes` for a trial."""
    from semantic_ids.workflows.measuring import fit_and_measure

    options = fit_options({"codebook_sizes": list(sizes)} if sizes else None)

    def make() -> tuple[Any, Row]:
        measured = fit_and_measure(data.vectors, options)
        return measured.ids, measured.metrics

    return kept_ids(work, data, options.to_dict(), make)[0]


def order(systems: Sequence[str], seeds: int) -> Iterator[tuple[str, int]]:
    """Yield what is to be run: what counts has no seed."""
    for seed in range(seeds):
        for system in systems:
            if not seed or system not in BASELINES:
                yield system, seed


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    given = parser().parse_args(words)
    results = Results(given.out or given.work / "recommend.jsonl")
    if not given.page:
        if lacks := missing(given.data):
            print(lacks)
            return
        given.work.mkdir(parents=True, exist_ok=True)
        data = read(given.data, given.work, given.users)
        ids = default_ids(data, given.work, given.sizes)
        changes = {name: value for one in given.set for name, value in one.items()}
        trial = bool(changes or given.sizes)
        bench = Bench(
            data, ids, results, changes, given.device, given.users, given.beam_users, trial
        )
        if given.tune:
            rows = [tuned(bench, given.tune_system, variant) for variant in given.tune]
            print(recommend_page.variants(rows))
            return
        if given.tune_sasrec:
            print(f"SASRec: {tune_sasrec(bench)}")
        for system, seed in order(given.systems, given.seeds):
            print(recommend_page.line(run(bench, system, seed)), flush=True)
    given.page_file.write_text(recommend_page.page(results.rows), encoding="utf-8")
    print(f"written: {given.page_file}")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__)
    add = made.add_argument
    add("--work", type=Path, required=True, help="folder for IDs, vectors and results")
    add("--data", type=Path, default=BEAUTY, help="item_emb, train, valid and test .parquet")
    add("--out", type=Path, help="file of results; default: recommend.jsonl in --work")
    add("--page", action="store_true", help="make the page of the results, and measure nothing")
    add("--page-file", type=Path, default=PAGE)
    add("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    add("--seeds", type=int, default=3)
    add("--device", default="cpu")
    add("--tune-sasrec", action="store_true", help="choose the settings of SASRec first")
    add("--tune", type=grid, metavar="GRID", help="a.b=1|2,c=x|y: validation of all variants")
    add("--tune-system", default="ours", choices=("ours", "tiger", "sasrec"))
    add("--beam-users", type=int, default=4000, help="users that widths of the beam are tried on")
    add("--users", type=int, help="for a trial: the first so many users")
    add("--sizes", type=int, nargs="+", help="for a trial: sizes of the codebooks")
    add("--set", type=_one, action="append", default=[], help="for a trial: option=value")
    return made


def _one(text: str) -> dict[str, Any]:
    """Read one option and its value."""
    found, *others = grid(text)
    if others:
        raise argparse.ArgumentTypeError(f"{text!r} has several values")
    return found


if __name__ == "__main__":
    main()
