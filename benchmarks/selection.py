"""Which epoch of an rq_vae to keep where nothing is held out: rules side by side.

A tenth of the items is in neither the training nor the choice of the epoch: their error is what a
rule is judged by. Each epoch of one training is measured, and each rule picks among them. The twin
is a second training that holds out another tenth: its best epoch is taken for the first. One line a
rule and seed, and a parquet file of all epochs where a folder is given.

PYTHONPATH=src python benchmarks/selection.py amazon_beauty/item_emb.parquet --env rq_vae --unique
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.engines import vectors_of  # noqa: E402
from benchmarks.systems import CONF, base_values, dotted  # noqa: E402
from semantic_ids.hashing import hashes_of, mix  # noqa: E402
from semantic_ids.identifiers import unique_codes  # noqa: E402
from semantic_ids.learning.batches import Rows  # noqa: E402
from semantic_ids.learning.task import Outcome  # noqa: E402
from semantic_ids.tokenizers.rq_vae import model  # noqa: E402
from semantic_ids.tokenizers.rq_vae.monitoring import Validation  # noqa: E402
from semantic_ids.tokenizers.rq_vae.task import RQVAETask  # noqa: E402

JUDGED, TWIN = 0.1, 0.1
"""Shares of the items that rules are judged by, and that only the twin holds out."""
RULES = {
    "last": lambda epochs: epochs[-1],
    "lowest watched": lambda epochs: min(within(epochs), key=lambda e: e["watched"]),
    "lowest watched, unique": lambda epochs: min(epochs, key=lambda e: e["unique"]),
    "lowest judged (not to be had)": lambda epochs: min(epochs, key=lambda e: e["judged"]),
}
"""What picks one of the epochs that may be kept."""


@dataclass
class Measured:
    """What every epoch came to.

    Attributes:
        judged_rows: Rows that are in neither training nor choice.
        epochs: One mapping an epoch: relative errors of the items judged, of those watched, of
            those watched with unique codes.
    """

    judged_rows: np.ndarray
    epochs: list[dict[str, float]] = field(default_factory=list)


def within(epochs: Sequence[dict[str, float]], tolerance: float = 0.01) -> list[dict[str, float]]:
    """Return the epochs whose collision rate is near the lowest, as `Selection` does."""
    least = min(epoch["collisions"] for epoch in epochs)
    return [epoch for epoch in epochs if epoch["collisions"] <= least + tolerance]


def measuring(measured: Measured, unique_from: int) -> type[RQVAETask]:
    """Return a task that measures every epoch, and those after `unique_from` with unique codes."""

    class Measuring(RQVAETask):
        def __init__(
            self, network: Any, options: Any, vectors: Any, *rest: Any, **named: Any
        ) -> None:
            self.make_unique = named["unique"]
            if not options.unique.epochs:
                named["unique"] = None
            super().__init__(network, options, vectors, *rest, **named)
            prepare, width = rest[2], rest[3]
            self.judged = Rows(vectors, measured.judged_rows, prepare, self.device, width)

        @torch.no_grad()
        def error(self, rows: Rows, unique: bool = False) -> float:
            """Return the relative squared error of rows, with their unique codes if so wanted."""
            validation, codes, done = Validation(self.width, self.device), None, 0
            if unique:
                z = torch.cat([self.module.encoder(x) for x in rows.in_order(slice(None))])
                tables = self.module.quantizer.tables()
                codes = self.make_unique(z, tables, self.module.quantizer.codes(z))
            for x in rows.in_order(slice(None)):
                given = None if codes is None else codes[done : done + len(x)]
                validation.add(x, self.module(x, given))
                done += len(x)
            return validation.row("any", "mse")["any_relative_mse"]

        def validate(self, epoch: int) -> Outcome:
            outcome = super().validate(epoch)
            if epoch > unique_from:
                row = {
                    "epoch": epoch,
                    "judged": self.error(self.judged),
                    "watched": outcome.values[f"{self.split}_relative_mse"],
                    "unique": self.error(self.data, unique=True),
                    "collisions": outcome.constraint,
                }
                measured.epochs.append(row)
            return outcome

    return Measuring


def options_of(environment: str, *, unique: bool, epochs: int | None) -> dict[str, Any]:
    """Return the options of an environment, with as many epochs as wanted."""
    import yaml

    from semantic_ids.tokenizers.rq_vae.options import RQVAEOptions

    file = CONF / environment / "parameters_tokenizer.yml"
    own = yaml.safe_load(file.read_text(encoding="utf-8"))["tokenizer"].get("rq_vae", {})
    options = dict(dotted(RQVAEOptions().to_dict())) | dict(dotted(own))
    if epochs:
        share = epochs / options["schedule.epochs"]
        for name in ("schedule.warmup_epochs", "schedule.plain_epochs", "selection.burn_in"):
            options[name] = round(share * options[name])
        options["unique.epochs"] = round(share * options["unique.epochs"])
        options["schedule.epochs"] = epochs
    if not unique:
        options["unique.epochs"] = 0
    return nested(options)


def nested(options: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `dotted`."""
    found: dict[str, Any] = {}
    for name, value in options.items():
        *groups, last = name.split(".")
        group = found
        for part in groups:
            group = group.setdefault(part, {})
        group[last] = value
    return found


def train(
    vectors: np.ndarray,
    sizes: Sequence[int],
    options: dict[str, Any],
    seed: int,
    rows: np.ndarray,
    judged: np.ndarray,
) -> list[dict[str, float]]:
    """Train on some rows, watched too, and return what the epochs that may be kept came to."""
    from semantic_ids.tokenizers import fit_tokenizer

    measured = Measured(judged)
    quantised = options["schedule"]["plain_epochs"]
    first = max(options["selection"]["burn_in"] - 1, quantised)
    model.RQVAETask = measuring(measured, first)  # type: ignore[misc]
    try:
        fit_tokenizer(
            vectors,
            kind="rq_vae",
            codebook_sizes=sizes,
            seed=seed,
            device="cpu",
            options=options,
            rows=rows,
            assign=partial(unique_codes, candidates=base_values("identify")["candidates"]),
        )
    finally:
        model.RQVAETask = RQVAETask  # type: ignore[misc]
    return measured.epochs


def picked(
    vectors: np.ndarray,
    sizes: Sequence[int],
    options: dict[str, Any],
    seed: int,
    *,
    twin: bool,
) -> tuple[dict[str, dict[str, float]], list[dict[str, float]]]:
    """Return what each rule picks, and all epochs."""
    place = mix(hashes_of(vectors) + np.uint64(1)) / 2.0**64
    judged, rest = np.flatnonzero(place < JUDGED), np.flatnonzero(place >= JUDGED)
    epochs = train(vectors, sizes, options, seed, rest, judged)
    found = {name: rule(epochs) for name, rule in RULES.items()}
    if twin:
        held_out = place[rest] < JUDGED + TWIN
        of_twin = train(vectors, sizes, options, seed, rest[~held_out], rest[held_out])
        best = min(of_twin, key=lambda e: e["judged"])["epoch"]
        found["the twin's best"] = next(e for e in epochs if e["epoch"] == best)
    return found, epochs


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="parquet file, column `embedding`")
    parser.add_argument("--env", default="rq_vae")
    parser.add_argument("--sizes", default="256x256x256")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43])
    parser.add_argument("--unique", action="store_true", help="with epochs for unique codes")
    parser.add_argument("--twin", action="store_true")
    parser.add_argument("--epochs", type=int, help="of the environment, where nothing is given")
    parser.add_argument("--out", type=Path, help="folder for all epochs, as parquet files")
    given = parser.parse_args(words)
    vectors, sizes = vectors_of(given.file), [int(size) for size in given.sizes.split("x")]
    options = options_of(given.env, unique=given.unique, epochs=given.epochs)
    name = f"{given.env}{', unique' if given.unique else ''}"
    print(
        f"| {name} | seed | epoch | judged | watched | watched, unique |\n|---|---|---|---|---|---|"
    )
    for seed in given.seeds:
        found, epochs = picked(vectors, sizes, options, seed, twin=given.twin)
        for rule, row in found.items():
            errors = " | ".join(f"{row[of]:.4f}" for of in ("judged", "watched", "unique"))
            print(f"| {rule} | {seed} | {row['epoch']} | {errors} |", flush=True)
        if given.out:
            write(given.out / f"{given.env}-{'unique' if given.unique else 'plain'}-{seed}", epochs)


def write(file: Path, epochs: list[dict[str, float]]) -> None:
    """Write all epochs."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(epochs), file.with_suffix(".parquet"))


if __name__ == "__main__":
    main()
