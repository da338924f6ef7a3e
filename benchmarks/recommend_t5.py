"""Our networks beside a plain T5 of the transformers library, over the same tokens.

    python benchmarks/recommend_t5.py --work /tmp/beauty

`T5ForConditionalGeneration` with the sizes that TIGER published, trained in a plain loop, and asked
by `generate` with `num_beams` and our `prefix_allowed_tokens_fn`; our `tiger`, the same network,
and our `item_level`. All learn from the same histories, in one process with as many threads. They
take turns, so that what else the machine does meets all of them; ratios are those within a round.
An epoch is timed on a part of its targets, and what it would take for all of them is said.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recommend import default_ids  # noqa: E402
from benchmarks.recommend_budget import epoch_of, part_of, windows_for  # noqa: E402
from benchmarks.recommend_data import (  # noqa: E402
    BEAUTY,
    KS,
    Data,
    Results,
    Row,
    first_users,
    grid,
    missing,
    read,
    recommender_options,
    surroundings,
    table,
    trial,
)
from semantic_ids.artifacts import Codes  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks-recommend-t5.md"
TITLES = {
    "t5": "T5 of transformers",
    "tiger": "`tiger`, the same network",
    "item_level": "`item_level`",
}
BEAMS = (10, 20, 50)
K = 10
PAD = 0
FIRST = 4
"""First token of the first level: those before are markers."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What all systems are measured on.

    Attributes:
        data: Items and users.
        ids: The IDs of the items.
        changes: Dotted options of the recommender, for a trial.
        targets: Targets that an epoch is timed on.
        users: Users that are asked for.
        seed: Of weights, and of which targets.
        trial: Whether sizes or options are not those of the project.
    """

    data: Data
    ids: Codes
    changes: dict[str, Any]
    targets: int
    users: int
    seed: int
    trial: bool = False

    def options(self, kind: str) -> Any:
        """Return the options of one of our networks."""
        own = {"kind": kind, "device": "cpu", "seed": self.seed}
        return recommender_options(own | self.changes)


@dataclass(frozen=True)
class Timed:
    """What a round took.

    Attributes:
        epoch: Seconds of an epoch over all targets, reckoned from those it was timed on.
        epoch_cpu: The same in CPU seconds of all threads.
        users: Beam → users a second.
        users_cpu: Beam → users a CPU second.
        parameters: Of the network.
        valid: Share of the lists that hold IDs of items alone.
    """

    epoch: float
    epoch_cpu: float
    users: dict[int, float]
    users_cpu: dict[int, float]
    parameters: int
    valid: float = 1.0


# ---- ours --------------------------------------------------------------------------------------


def ours(bench: Bench, kind: str) -> Timed:
    """Time one of our networks."""
    import torch

    from semantic_ids.recommenders.children import Children
    from semantic_ids.recommenders.judging import judge_ids

    data, ids, options = bench.data, bench.ids, bench.options(kind)
    every = windows_for(data.histories, options, data.length, torch.device("cpu"))
    share = min(1.0, bench.targets / every.targets)
    rows = np.random.default_rng(bench.seed).permutation(len(every))
    some = part_of(every, np.sort(rows[: max(1, round(share * len(every)))]))
    began, used = time.perf_counter(), time.process_time()
    model, _ = epoch_of(data.histories, ids, options, data.length, some)
    scale = every.targets / some.targets
    seconds, cpu = (time.perf_counter() - began) * scale, (time.process_time() - used) * scale
    children = Children(ids.codes, ids.sizes)
    histories = first_users(data.histories, bench.users)
    users, users_cpu = {}, {}
    for beam in BEAMS:
        used = time.process_time()
        judged = judge_ids(
            model,
            children,
            histories,
            "test",
            length=data.length,
            ks=KS,
            beam=beam,  # type: ignore[arg-type]
        )
        users[beam] = len(judged.users) / judged.seconds
        users_cpu[beam] = len(judged.users) / max(1e-9, time.process_time() - used)
    return Timed(seconds, cpu, users, users_cpu, sum(p.numel() for p in model.parameters()))


# ---- the T5 of transformers --------------------------------------------------------------------


def t5_network(bench: Bench) -> Any:
    """Return a T5 of the sizes of our `tiger`, with a token for each code of each level."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    of = bench.options("tiger").tiger
    torch.manual_seed(bench.seed)
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=FIRST + sum(bench.ids.sizes),
            d_model=of.dim,
            d_kv=of.head_dim,
            d_ff=of.feed_forward,
            num_layers=of.layers,
            num_decoder_layers=of.layers,
            num_heads=of.heads,
            dropout_rate=of.dropout,
            decoder_start_token_id=PAD,
            pad_token_id=PAD,
            eos_token_id=None,
        )
    )


def tokens_of(ids: Codes) -> np.ndarray:
    """Return the tokens of each item: (n, L) int64, as our `Vocabulary` numbers them."""
    offsets = np.cumsum([0, *ids.sizes[:-1]])
    return ids.codes.astype(np.int64) + offsets + FIRST


def inputs_of(data: Data, tokens: np.ndarray, positions: np.ndarray) -> tuple[Any, Any]:
    """Return what comes before some events, as tokens, and a mask: (b, T·L) twice."""
    import torch

    past = data.histories.before(positions, data.length)
    past = past[:, : max(1, int((past >= 0).sum(axis=1).max()))]
    found = np.where(past[..., None] >= 0, tokens[past.clip(0)], PAD).reshape(len(past), -1)
    return torch.from_numpy(found), torch.from_numpy((found != PAD).astype(np.int64))


def t5(bench: Bench) -> Timed:
    """Time the T5: a plain loop with AdamW, then `generate`."""
    import torch

    data, tokens = bench.data, tokens_of(bench.ids)
    network, training = t5_network(bench), bench.options("tiger").training
    every = data.histories.targets("train")
    rows = np.random.default_rng(bench.seed).permutation(len(every))[: bench.targets]
    optimizer = torch.optim.AdamW(
        network.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    network.train()
    began, used = time.perf_counter(), time.process_time()
    for start in range(0, len(rows), training.batch_windows):
        positions = every[rows[start : start + training.batch_windows]]
        inputs, mask = inputs_of(data, tokens, positions)
        labels = torch.from_numpy(tokens[data.histories.items[positions]])
        optimizer.zero_grad(set_to_none=True)
        network(input_ids=inputs, attention_mask=mask, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    scale = len(every) / len(rows)
    seconds, cpu = (time.perf_counter() - began) * scale, (time.process_time() - used) * scale
    users, users_cpu, valid = {}, {}, 1.0
    for beam in BEAMS:
        began, used = time.perf_counter(), time.process_time()
        valid = min(valid, _asked(bench, network, tokens, beam))
        users[beam] = bench.users / (time.perf_counter() - began)
        users_cpu[beam] = bench.users / max(1e-9, time.process_time() - used)
    return Timed(seconds, cpu, users, users_cpu, network.num_parameters(), valid)


def _asked(bench: Bench, network: Any, tokens: np.ndarray, beam: int) -> float:
    """Ask for the first users of the test; return the share of IDs that are those of items."""
    import torch

    from semantic_ids.publishing.constrained_decoding import prefix_allowed_tokens_fn
    from semantic_ids.publishing.trie import Trie
    from semantic_ids.publishing.vocabulary import Vocabulary

    ids, network = bench.ids, network.eval()
    trie = Trie.build(ids.codes, ids.sizes)
    vocabulary = Vocabulary.of(ids.sizes, ids.levels)
    allowed = prefix_allowed_tokens_fn(trie, vocabulary, prompt_length=1)
    positions = first_users(bench.data.histories, bench.users).targets("test")
    known, found, size = {tuple(row) for row in tokens.tolist()}, 0, 64
    for start in range(0, len(positions), size):
        inputs, mask = inputs_of(bench.data, tokens, positions[start : start + size])
        with torch.no_grad():
            made = network.generate(
                input_ids=inputs,
                attention_mask=mask,
                prefix_allowed_tokens_fn=allowed,
                num_beams=beam,
                num_return_sequences=K,
                max_new_tokens=len(ids.sizes),
                min_new_tokens=len(ids.sizes),
            )
        found += sum(tuple(row) in known for row in made[:, 1:].tolist())
    return found / (K * len(positions))


# ---- rounds and the page -----------------------------------------------------------------------

RUNS: dict[str, Callable[[Bench], Timed]] = {
    "t5": t5,
    "tiger": lambda bench: ours(bench, "tiger"),
    "item_level": lambda bench: ours(bench, "item_level"),
}


def measured(bench: Bench, results: Results, rounds: int, users: int | None) -> None:
    """Let the systems take turns; each round is kept as soon as it is there."""
    for number in range(rounds):
        for name, work in RUNS.items():
            key = {
                "what": "t5",
                "system": name,
                "round": number,
                "ids": bench.ids.provenance.fingerprint,
                "targets": bench.targets,
                "asked": bench.users,
                "users": users,
                "trial": bench.trial,
            }
            row = results.once(key, lambda work=work: vars(work(bench)))  # type: ignore[misc]
            print(f"{name}, round {number}: {row['epoch']:,.0f} s an epoch", flush=True)


def page(rows: Sequence[Row]) -> str:
    """Return the page: medians over the rounds, and medians of the ratios within a round."""
    head = (
        "# Beside a plain T5\n\n<!-- Generated by benchmarks/recommend_t5.py; changes by hand are"
        " lost. -->\n\nA T5 of the transformers library in a plain loop, and our networks, over"
        " the same tokens of Amazon Beauty: time alone. Quality is measured elsewhere.\n\n"
    )
    real = [row for row in rows if not row["key"]["users"] and not row["key"]["trial"]]
    every = real or list(rows)
    if not every:
        return head + '!!! warning "Not measured yet"\n    No run has been made for this page.\n'
    asked, rounds = every[-1]["key"], 1 + max(row["key"]["round"] for row in every)
    notes = [
        f"An epoch was timed on {asked['targets']:,} targets (`item_level`: on as large a share of"
        " its windows) and reckoned for all; start-up included, validation not.",
        f"{asked['asked']:,} users were asked for. T5: `generate` with `num_beams` and"
        f" `prefix_allowed_tokens_fn`, the {K} best of each.",
        f"{rounds} rounds, in which systems take turns: medians; **ratio** is the median of the"
        " ratios to T5 within a round: above 1, ours was faster.",
        f"Of what T5 wrote {min(row['valid'] for row in every):.1%} were IDs of items.",
    ]
    lines = "\n".join(f"- {line}" for line in notes)
    return f"{head}{trial(every)}{surroundings(every)}\n\n{lines}\n\n{_table(every)}\n"


def _table(rows: Sequence[Row]) -> str:
    by = {(row["key"]["system"], row["key"]["round"]): row for row in rows}
    lines = []
    for name, title in TITLES.items():
        some = {at: row for (system, at), row in by.items() if system == name}
        if not some:
            continue

        def figure(of: Callable[[Row], float], some: dict[int, Row] = some) -> float:
            return statistics.median(of(row) for row in some.values())

        def ratio(of: Callable[[Row], float], some: dict[int, Row] = some) -> str:
            found = [of(row) / of(by["t5", at]) for at, row in some.items() if ("t5", at) in by]
            return f"{statistics.median(found):.2f}" if found else "–"

        cells = [f"{figure(lambda row, of=of: row[of]):,.0f}" for of in ("epoch", "epoch_cpu")]
        cells.append(ratio(lambda row: 1 / row["epoch_cpu"]))
        for beam in map(str, BEAMS):
            cells.append(f"{figure(lambda row, beam=beam: row['users'][beam]):,.1f}")
            cells.append(ratio(lambda row, beam=beam: row["users_cpu"][beam]))
        lines.append([title, f"{next(iter(some.values()))['parameters']:,}", *cells])
    heads = [name for beam in BEAMS for name in (f"users/s, beam {beam}", "CPU ratio")]
    first = ["System", "Parameters", "Epoch, s", "Epoch, CPU s", "CPU ratio"]
    return table([*first, *heads], lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for IDs, vectors and results")
    add("--data", type=Path, default=BEAUTY, help="item_emb, train, valid and test .parquet")
    add("--out", type=Path, help="file of results; default: recommend-t5.jsonl in --work")
    add("--page", action="store_true", help="make the page of the results, and measure nothing")
    add("--page-file", type=Path, default=PAGE)
    add("--rounds", type=int, default=3)
    add("--targets", type=int, default=8192, help="targets that an epoch is timed on")
    add("--asked", type=int, default=256, help="users that are asked for")
    add("--seed", type=int, default=42)
    add("--threads", type=int, help="of all systems; default: as torch has it")
    add("--users", type=int, help="for a trial: the first so many users")
    add("--sizes", type=int, nargs="+", help="for a trial: sizes of the codebooks")
    one = lambda text: grid(text)[0]  # noqa: E731 - argparse calls what it gets
    add("--set", type=one, action="append", default=[], help="for a trial: option=value")
    given = parser.parse_args(words)
    results = Results(given.out or given.work / "recommend-t5.jsonl")
    if not given.page:
        if lacks := missing(given.data):
            print(lacks)
            return
        if given.threads:
            import torch

            torch.set_num_threads(given.threads)
        given.work.mkdir(parents=True, exist_ok=True)
        data = read(given.data, given.work, given.users)
        ids = default_ids(data, given.work, given.sizes)
        changes = {name: value for of in given.set for name, value in of.items()}
        asked = min(given.asked, len(data.histories))
        trial = bool(changes or given.sizes)
        bench = Bench(data, ids, changes, given.targets, asked, given.seed, trial)
        measured(bench, results, given.rounds, given.users)
    given.page_file.write_text(page(results.rows), encoding="utf-8")
    print(f"written: {given.page_file}")


if __name__ == "__main__":
    main()
