"""Small pieces of the work that a run is made of, done and timed.

A chunk of each stage and a round of each step of the fit are done on the first rows, with codebooks
of the real sizes; what they take grows with the number of rows. No speed of any machine is written
down here.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semantic_ids.artifacts import Codes, Embeddings, Provenance
from semantic_ids.compute.streaming import held
from semantic_ids.compute.threads import chunk_rows
from semantic_ids.forecast.pilot import DIMENSIONS, ITERATIONS
from semantic_ids.forecast.run import Run
from semantic_ids.hashing import vector_hash
from semantic_ids.identifiers import Deduplicated, TokenizerCosts, deduplicate
from semantic_ids.progress import listening, quiet
from semantic_ids.quantization import refinement
from semantic_ids.quantization.balance import FOLLOWED_ROUNDS, SETTLED_ROUNDS
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.registry import fit_tokenizer
from semantic_ids.tokenizers.rq_kmeans import LEAST_INIT_ROWS_A_CODE, RQKMeans

LEAST_ROWS, MOST_ROWS = 4096, 1 << 15
"""Rows that pieces are done on: enough for every thread to have a chunk."""
TRIES, SHORT_SECONDS, FIRST_SECONDS = 3, 0.1, 1.0
"""Work is done so many times, but not again where it has taken `SHORT_SECONDS` already; after the
first time, which may load what it needs, `FIRST_SECONDS`."""
SHARE = 4
"""Each piece is done on a part of the rows as well, this many times smaller: the difference tells
what grows with the rows from what does not."""
MOST_CODES = 1024
"""Larger codebooks are tried at this size: time grows with the codes, or with pairs of them."""
ANNEALED_ROUNDS = 8
"""Rounds of annealing of the codebooks for which de-duplication is timed: without any, one code
takes far too many items."""
WARM_UP_ROWS = 64
"""Every stage is done on so many rows first: what is loaded then would be counted otherwise."""
QUICK = {
    "init": "random",
    "iterations": 1,
    "restarts": 1,
    "anneal_rounds": 0,
    "refine_rounds": 0,
    "unique_rounds": 0,
    "balance": None,
}
"""Options of an rq_kmeans that is fitted at once."""
QUICK_VAE: dict[str, dict[str, Any]] = {
    "codebook": {"init": "kmeans"},
    "optimizer": {"compile": False},
    "schedule": {"epochs": 1, "plain_epochs": 0, "warmup_epochs": 0},
    "selection": {"patience": None, "burn_in": 0, "catalogue_every": 1, "collapse_below": 0.0},
    "unique": {"epochs": 0},
}
"""Options of an rq_vae that is trained for an epoch."""
VAE_ROWS = 2048
"""Rows that it is trained on: a few batches."""


@dataclass(frozen=True)
class Growth:
    """Seconds of a piece of work: some whatever the rows, and some for each row."""

    fixed: float
    each: float

    def __call__(self, rows: float) -> float:
        """Return the seconds for so many rows."""
        return self.fixed + self.each * rows

    @classmethod
    def of(cls, work: Callable[[int], object], rows: int) -> Growth:
        """Time a piece of work that takes how many rows it is done on.

        At least half of the time is taken to grow with the rows: where other work disturbs the
        measurement, an estimate for many more rows would come to nothing otherwise.
        """
        few = max(1, rows // SHARE)
        short, whole = seconds_of(lambda: work(few)), seconds_of(lambda: work(rows))
        if few == rows:
            return cls(0.0, whole / rows)
        each = min(max((whole - short) / (rows - few), whole / rows / 2), whole / rows)
        return cls(whole - each * rows, each)

    def times(self, fixed: float, each: float) -> Growth:
        """Return the seconds where the two parts are so many times as large."""
        return Growth(self.fixed * fixed, self.each * each)


def seconds_of(work: Callable[[], object]) -> float:
    """Do some work, until a GPU is done with it too; return its seconds.

    Short work is done a few times, and the least counts: what else the machine does adds to it.
    """
    found: list[float] = []
    while len(found) < TRIES and sum(found) < (SHORT_SECONDS if found[1:] else FIRST_SECONDS):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return max(min(found), 1e-9)


def stage_seconds(vectors: np.ndarray, run: Run) -> dict[str, float]:
    """Estimate the seconds of each stage; see `estimate.estimate_cost`."""
    with quiet():
        trial = Trial(vectors, run)
        found = {
            "train": trial.train(run.fit_items),
            "encode": trial.encode(run.items),
            "deduplicate": trial.deduplicate(run.items),
            "evaluate": trial.evaluate(run.items),
        }
        if run.twin_items:
            out = run.items - run.twin_items
            found["evaluate"] += trial.train(run.twin_items) + 2 * trial.encode(out)
    return found


class Trial:
    """Pieces of a run, done on its first rows.

    Args:
        vectors: Shape (n, D); the first rows are read.
        run: What is about to run.

    Attributes:
        encode: Seconds to encode so many items.
        deduplicate: Seconds to make the IDs of so many items unique.
        evaluate: Seconds of the metrics of so many items, without the twin.
        epoch: Seconds of an epoch of an rq_vae on so many items.
    """

    @torch.no_grad()
    def __init__(self, vectors: np.ndarray, run: Run) -> None:
        self.run, self.sizes = run, [min(int(size), MOST_CODES) for size in run.codebook_sizes]
        self.codes_ratio = sum(run.codebook_sizes) / sum(self.sizes)
        self.pairs_ratio = _pairs(run.codebook_sizes) / max(1, _pairs(self.sizes))
        self.tokenizer = self._fitted(vectors)
        device = self.tokenizer.device
        wanted = min(chunk_rows(device, 1) * torch.get_num_threads(), MOST_ROWS)
        self.rows = min(len(vectors), max(LEAST_ROWS, wanted))
        self.vectors = vectors[: self.rows]
        self.prepared = Growth.of(self._prepare, self.rows)
        given = run.options.get("start") if run.kind == "rq_vae" else run.options
        beams = run.options["codebook"] if run.kind == "rq_vae" else run.options
        self.options = {**(given or {}), "beam_size": beams["beam_size"]}
        self.latents = self._latents(self._prepare(self.rows))
        self.encode = self._encode()
        self._time_rounds()
        self._time_ids()

    # ---- the fit ---------------------------------------------------------------------------------

    def train(self, items: int) -> float:
        """Seconds to fit on so many items."""
        if self.run.kind != "rq_vae":
            return self._kmeans(items, unique=self.run.strategy == "reassign")
        options, epochs = self.run.options, self.run.options["schedule"]["epochs"]
        starts = options["codebook"]["init"] == "rq_kmeans"
        start = self._kmeans(items, unique=False) if starts else self.started * items
        unique = self.run.strategy == "reassign"
        rounds = min(options["unique"]["epochs"], epochs) if unique else 0
        again = rounds * (self.encode(items) + self.deduplicate(items))
        return start + epochs * self.epoch * items + again

    def _kmeans(self, items: int, *, unique: bool) -> float:
        """Seconds of an rq_kmeans: what it holds, its start, and rounds of each kind."""
        options = self.kmeans.options
        largest = max(self.run.codebook_sizes)
        rows = min(items, largest * options.max_points_per_centroid)
        first = min(rows, max(options.init_rows, LEAST_INIT_ROWS_A_CODE * largest))
        priced = FOLLOWED_ROUNDS + SETTLED_ROUNDS if self.kmeans.is_balanced else 0
        again = options.unique_rounds if unique and rows == items else 0
        partly = options.unique_rounds if unique and rows < items and not priced else 0
        return (
            self.prepared(rows)
            + self.axes(rows)
            + self.start * first
            + options.anneal_rounds * self.anneal(min(rows, options.anneal_rows))
            + (options.refine_rounds + priced + again) * self.refine(rows)
            + (again + partly) * self.deduplicate(rows)
            + (self.encode(items) + self.prepared(rows) if partly else 0.0)
        )

    def _fitted(self, vectors: np.ndarray) -> Any:
        """Fit a tokenizer quickly, and note how long the epochs of an rq_vae take."""
        run = self.run
        rows = min(len(vectors), LEAST_ROWS if run.kind != "rq_vae" else VAE_ROWS)
        rows = max(rows, min(len(vectors), max(self.sizes)))
        options = self._quick_vae(rows) if run.kind == "rq_vae" else {**run.options, **QUICK}
        watched = max(1, round(rows * min(1.0, run.watched_items / max(1, run.fit_items))))
        moments = [time.perf_counter()]
        with torch.enable_grad(), listening(lambda *_: moments.append(time.perf_counter())):
            fitted = fit_tokenizer(
                vectors[:rows],
                kind=run.kind,
                codebook_sizes=self.sizes,
                seed=run.seed,
                device=run.device,
                preprocess=run.preprocess,
                options=options,
                monitor_rows=np.arange(watched),
            )
        self.epoch = (moments[-1] - moments[-2]) / rows if len(moments) > 1 else 0.0
        self.started = (moments[1] - moments[0]) / rows if len(moments) > 1 else 0.0
        return fitted

    def _quick_vae(self, rows: int) -> dict[str, Any]:
        """Return the options of an rq_vae that looks at its share of the catalogue."""
        given, selection = self.run.options, self.run.options["selection"]
        looked_at = min(self.run.items, selection["catalogue_rows"]) / selection["catalogue_every"]
        share = rows / max(1, self.run.fit_items)
        quick = {group: {**given[group], **QUICK_VAE.get(group, {})} for group in given}
        quick["selection"]["catalogue_rows"] = max(1, round(share * looked_at))
        return {group: values for group, values in quick.items() if group != "start"}

    def _prepare(self, rows: int) -> Tensor:
        """Read and prepare the first rows, as a fit holds them: (r, W)."""
        made = self.tokenizer
        return held(
            self.vectors, np.arange(rows), made.preprocessing.apply, made.device, made.width
        )

    def _latents(self, x: Tensor) -> Tensor:
        """Return what is quantised of prepared rows: (r, W) → (r, d)."""
        return self.tokenizer.network.encoder(x) if self.run.kind == "rq_vae" else x

    def _time_rounds(self) -> None:
        """Time the start of the codebooks, and a round of each kind."""
        self.kmeans = self._kmeans_of(self.sizes, self.options)
        z, axes, kept = self.kmeans.along_axes(self.latents.clone())
        if self.run.kind == "rq_vae" and self.run.options["codebook"]["init"] != "rq_kmeans":
            return
        self.axes = Growth.of(
            lambda rows: self.kmeans.along_axes(self.latents[:rows].clone()), len(z)
        )
        codebooks = [c @ axes for c in self.tokenizer.quantizer.codebooks]
        self.start = self._start_seconds(z[: self.rows])
        short, few = z[:, :kept].contiguous(), [c[:, :kept].contiguous() for c in codebooks]
        each = seconds_of(lambda: next(self._annealed(short, few))) / len(z)
        self.anneal = Growth(0.0, each * self.codes_ratio)
        quantizer, options = ResidualQuantizer(codebooks), self.kmeans.options
        chosen: list[Tensor] = []

        def choose() -> None:
            chosen[:] = refinement.encode(z, quantizer, 1, options.beam_size)

        searched, codes = seconds_of(choose) / len(z), chosen[0][:, 0]
        solved = Growth.of(
            lambda rows: refinement.solve(z[:rows], codes[:rows], codebooks, options.ridge), len(z)
        )
        each = solved.each + searched * self.codes_ratio
        self.refine = Growth(solved.fixed * self.pairs_ratio, each)

    def _start_seconds(self, z: Tensor) -> float:
        """Seconds a row to start all codebooks, from one pass over the rows at the first level."""
        passes, first = self.kmeans.options.iterations + 1, self.sizes[0]
        brief = self._kmeans_of([first], {**self.options, "iterations": 1})
        found = seconds_of(lambda: self._codebooks(z, brief)) / len(z)
        return found * passes / 2 * sum(self.run.codebook_sizes) / first

    def _annealed(
        self, z: Tensor, codebooks: list[Tensor], rounds: int = 1
    ) -> Iterator[refinement.Round]:
        options, generator = self.kmeans.options, torch.Generator().manual_seed(0)
        return refinement.anneal(
            z,
            codebooks,
            beam=options.beam_size,
            rounds=rounds,
            rows=len(z),
            temperature=options.temperature,
            ridge=options.ridge,
            generator=generator,
        )

    def _kmeans_of(self, sizes: list[int], options: dict[str, Any]) -> RQKMeans:
        """Return an rq_kmeans that is not fitted."""
        as_it_is = {"normalize": False, "center": False, "scale": False}
        return RQKMeans(sizes, self.run.seed, self.tokenizer.device.type, as_it_is, options)

    def _codebooks(self, z: Tensor, kmeans: RQKMeans) -> list[Tensor]:
        """Start codebooks: (r, d) → L tensors (K_l, d)."""
        *_, last = kmeans.start(z, torch.Generator().manual_seed(0))
        return last.codebooks

    # ---- what comes after it ---------------------------------------------------------------------

    def _encode(self) -> Growth:
        """Time `encode`."""
        self.tokenizer.encode(self.vectors[:WARM_UP_ROWS])
        whole = seconds_of(lambda: self.tokenizer.encode(self.vectors))
        return Growth(0.0, whole / self.rows * self.codes_ratio)

    def _time_ids(self) -> None:
        """Time de-duplication and metrics."""
        tokenizer = self._as_crowded()
        codes = tokenizer.encode(self.vectors)
        ids: list[Deduplicated] = []

        def unique(rows: int) -> None:
            made = deduplicate(
                codes[:rows],
                TokenizerCosts(tokenizer, self.vectors[:rows]),
                strategy=self.run.strategy,
                candidates=self.run.candidates,
            )
            ids.append(made)

        rows = min(self.rows, prod(tokenizer.codebook_sizes))
        last = self.run.codebook_sizes[-1] / self.sizes[-1]
        self.deduplicate = Growth(0.0, seconds_of(lambda: unique(rows)) / rows * last)
        made = ids[-1]
        self._measure(tokenizer, codes, made, min(WARM_UP_ROWS, rows))
        self.evaluate = Growth.of(lambda m: self._measure(tokenizer, codes, made, m), rows)

    def _as_crowded(self) -> Any:
        """Return a tokenizer whose prefixes have as many of these rows as those of the run will
        have of all items.

        What de-duplication takes depends on it.
        """
        last = self.run.codebook_sizes[-1] / self.sizes[-1]
        fewer = (last * self.rows / self.run.items) ** (1 / max(1, len(self.sizes) - 1))
        prefix = [min(self.rows, ceil(size * fewer)) for size in self.run.codebook_sizes[:-1]]
        sizes = [max(2, size) for size in prefix] + self.sizes[-1:]
        crowded = copy.copy(self.tokenizer)
        z, axes, _ = self.kmeans.along_axes(self.latents.clone())
        main = axes[:, : min(DIMENSIONS, axes.shape[1])]
        quick = self._kmeans_of(sizes, {**QUICK, "iterations": ITERATIONS})
        z = z[:, : main.shape[1]].contiguous()
        codebooks = self._codebooks(z, quick)
        for done in self._annealed(z, codebooks, ANNEALED_ROUNDS):
            codebooks = done.codebooks
        crowded.codebook_sizes = tuple(sizes)
        crowded.quantizer = ResidualQuantizer([c @ main.T for c in codebooks])
        return crowded

    def _measure(self, tokenizer: Any, codes: np.ndarray, ids: Deduplicated, rows: int) -> None:
        """Take all metrics of the first rows."""
        from semantic_ids.metrics import evaluate

        made, levels = Provenance("trial"), len(tokenizer.codebook_sizes)
        nobody, vectors = np.arange(rows), self.vectors[:rows]
        kept = vectors.dtype if vectors.dtype in (np.float16, np.float32) else np.float32
        evaluate(
            Embeddings(vectors, nobody, vector_hash(vectors.astype(kept, copy=False)), 0, made),
            tokenizer,
            Codes(nobody, codes[:rows], tuple(tokenizer.codebook_sizes), levels, made),
            Codes(nobody, ids.codes[:rows], ids.sizes, ids.levels, made),
            queries=min(self.run.queries, rows),
        )


def _pairs(sizes: Any) -> int:
    """Numbers in the tables of the products of every two codebooks."""
    return sum(int(a) * int(b) for a, b in combinations(sizes, 2))
