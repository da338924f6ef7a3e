"""Small pieces of the work that a run is made of, done and timed.

A chunk of each stage and a round of each step of the fit are done on the first rows, with codebooks
of the real sizes; what they take grows with the number of rows. No speed of any machine is written
down here, and a budget bounds what it takes to find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semantic_ids.compute.streaming import load_rows
from semantic_ids.compute.threads import chunk_rows
from semantic_ids.forecast.drawn import STEPS, as_crowded, drawn
from semantic_ids.forecast.run import Run, pairs_of_codes
from semantic_ids.forecast.timing import Growth, Stopwatch
from semantic_ids.identifiers import TokenizerCosts, deduplicate
from semantic_ids.progress import listening, quiet
from semantic_ids.quantization import refinement
from semantic_ids.quantization.balance import FOLLOWED_ROUNDS, SETTLED_ROUNDS
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.rq_kmeans import RQKMeans
from semantic_ids.tokenizers.starts import along_axes, start_rows
from semantic_ids.workflows.fitting import FitOptions
from semantic_ids.workflows.measuring import measure

LEAST_ROWS, MOST_ROWS = 4096, 1 << 15
"""Rows that pieces are done on: enough for every thread to have a chunk."""
MEASURED_ROWS = 1 << 14
"""Rows that metrics are taken of: of fewer, what does not grow with the rows hides what does."""
LEAST_STEP_ROWS = 512
"""An rq_vae is trained on at least so many rows a step."""
MOST_CODES = 1024
"""Larger codebooks are tried at this size: time grows with the codes, or with pairs of them."""
WARM_UP_ROWS = 64
"""Every stage is done on so many rows first: what is loaded then would be counted otherwise."""
LLOYD_ITERATIONS = 20
"""Iterations of the k-means that an rq_vae with `init: kmeans` starts from."""
BUDGET_SECONDS, BUDGET_SHARE = 3.0, 0.05
"""Seconds after which a piece is done once only, and the share of the training after which pieces
of de-duplication and metrics are."""


def stage_seconds(
    vectors: np.ndarray, run: Run, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Estimate the seconds of each stage; see `estimate.estimate_cost`.

    `clock` is that of `timing.Stopwatch`.
    """
    with quiet():
        trial = Trial(vectors, run, clock)
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
        clock: See `timing.Stopwatch`.

    Attributes:
        encode: Seconds to encode so many items.
        deduplicate: Seconds to make the IDs of so many items unique.
        evaluate: Seconds of the metrics of so many items, without the twin.
        epoch: Seconds of an epoch of an rq_vae, an item.
    """

    @torch.no_grad()
    def __init__(
        self, vectors: np.ndarray, run: Run, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.run, self.sizes = run, [min(int(size), MOST_CODES) for size in run.codebook_sizes]
        self.codes_ratio = sum(run.codebook_sizes) / sum(self.sizes)
        self.pairs_ratio = pairs_of_codes(run.codebook_sizes) / max(1, pairs_of_codes(self.sizes))
        self.watch = Stopwatch(BUDGET_SECONDS, clock)
        self.tokenizer = self._drawn(vectors)
        device = self.tokenizer.device
        wanted = min(chunk_rows(device, 1) * torch.get_num_threads(), MOST_ROWS)
        self.rows = min(len(vectors), max(LEAST_ROWS, wanted))
        self.vectors = vectors[: self.rows]
        self.prepared = self.watch.growth(self._prepare, self.rows)
        self.latents = self._latents(self._prepare(self.rows))
        self.encode, self.rough = self._encode(), self._rough()
        self._time_rounds()
        self.deduplicate = self.evaluate = Growth(0.0, 0.0)
        share = BUDGET_SHARE * self.train(run.fit_items)
        self.watch = Stopwatch(min(BUDGET_SECONDS, share), clock)
        self._time_ids(vectors[:MEASURED_ROWS])

    # ---- the fit ---------------------------------------------------------------------------------

    def train(self, items: int) -> float:
        """Seconds to fit on so many items."""
        if self.run.kind != "rq_vae":
            return self._kmeans(items, unique=self.run.strategy == "reassign")
        options, epochs = self.run.options, self.run.options["schedule"]["epochs"]
        if options["codebook"]["init"] == "rq_kmeans":
            start = self._kmeans(items, unique=False)
        else:
            rows = self._start_rows(items, options["codebook"]["init_rows"])
            start = self.start * (LLOYD_ITERATIONS + 1) * rows
        unique = self.run.strategy == "reassign"
        rounds = min(options["unique"]["epochs"], epochs) if unique else 0
        again = rounds * (self.encode(items) + self.deduplicate(items))
        return start + epochs * self.epoch * items + again

    def _kmeans(self, items: int, *, unique: bool) -> float:
        """Seconds of an rq_kmeans: what it holds, its start, and rounds of each kind."""
        options = self.kmeans.options
        rows = min(items, max(self.run.codebook_sizes) * options.max_points_per_centroid)
        again = options.unique_rounds if unique and rows == items else 0
        partly = (
            options.unique_rounds if unique and rows < items and not self.kmeans.is_balanced else 0
        )
        priced = FOLLOWED_ROUNDS + SETTLED_ROUNDS if self.kmeans.is_balanced else 0
        passes = options.iterations + 1
        return (
            self.prepared(rows)
            + self.axes(rows)
            + self.start * passes * self._start_rows(rows, options.init_rows)
            + options.anneal_rounds * self.anneal(min(rows, options.anneal_rows))
            + (options.refine_rounds + priced + again) * self.refine(rows)
            + (again + partly) * self.deduplicate(rows)
            + (self.rough(items) + self.prepared(rows) if partly else 0.0)
        )

    def _start_rows(self, rows: int, wanted: int) -> int:
        """Rows that codebooks start from."""
        return min(rows, start_rows(wanted, self.run.codebook_sizes))

    def _drawn(self, vectors: np.ndarray) -> Any:
        """Make a tokenizer quickly, and note how long an epoch of an rq_vae takes."""
        rows = LEAST_ROWS
        if self.run.kind == "rq_vae":
            rows = STEPS * max(LEAST_STEP_ROWS, self.run.options["optimizer"]["batch_rows"])
        rows = min(len(vectors), max(rows, *self.sizes))
        moments = [self.watch.clock()]
        with torch.enable_grad(), listening(lambda *_: moments.append(self.watch.clock())):
            made = drawn(vectors, self.run, self.sizes, rows)
        self.epoch = (moments[-1] - moments[-2]) / rows if len(moments) > 1 else 0.0
        return made

    def _prepare(self, rows: int) -> Tensor:
        """Read and prepare the first rows, as a fit holds them: (r, W)."""
        made = self.tokenizer
        return load_rows(
            self.vectors, np.arange(rows), made.preprocessing.apply, made.device, made.width
        )

    def _latents(self, x: Tensor) -> Tensor:
        """Return what is quantised of prepared rows: (r, W) → (r, d)."""
        return self.tokenizer.network.encoder(x) if self.run.kind == "rq_vae" else x

    def _time_rounds(self) -> None:
        """Time the start of the codebooks, and a round of each kind."""
        watch, rows, options = self.watch, self.rows, self._kmeans_options()
        self.kmeans = self._kmeans_of(self.sizes, options)
        self.start = self._start_seconds(self.latents, options)
        if self.run.kind == "rq_vae" and self.run.options["codebook"]["init"] != "rq_kmeans":
            return
        began = watch.clock()
        z, axes, kept = along_axes(self.latents.clone())
        whole, turned = watch.clock() - began, watch.seconds(lambda: self.latents @ axes)
        self.axes = Growth(max(0.0, whole - 2 * turned), 2 * turned / rows)
        codebooks = [c @ axes for c in self.tokenizer.quantizer.codebooks]
        self._time_anneal(z[:, :kept].contiguous(), [c[:, :kept].contiguous() for c in codebooks])
        tables = watch.seconds(lambda: ResidualQuantizer(codebooks))
        quantizer, beam = ResidualQuantizer(codebooks), self.kmeans.options.beam_size
        chosen: list[Tensor] = []

        def choose() -> None:
            chosen[:] = refinement.encode(z, quantizer, 1, beam)

        searched = watch.seconds(choose) / rows * self.codes_ratio
        codes, ridge = chosen[0][:, 0], self.kmeans.options.ridge
        solved = watch.growth(lambda m: refinement.solve(z[:m], codes[:m], codebooks, ridge), rows)
        fixed = (solved.fixed + tables) * self.pairs_ratio
        self.refine = Growth(fixed, solved.each + searched)

    def _time_anneal(self, z: Tensor, codebooks: list[Tensor]) -> None:
        """Time a round of annealing: the tables of the codebooks, and what grows with the rows."""
        options, generator = self.kmeans.options, torch.Generator().manual_seed(0)

        def once() -> None:
            rounds = refinement.anneal(
                z,
                codebooks,
                beam=options.beam_size,
                rounds=1,
                rows=len(z),
                temperature=options.temperature,
                ridge=options.ridge,
                generator=generator,
            )
            next(rounds)

        tables = self.watch.seconds(lambda: ResidualQuantizer(codebooks))
        each = max(0.0, self.watch.seconds(once) - tables) / len(z)
        self.anneal = Growth(tables * self.pairs_ratio, each * self.codes_ratio)

    def _start_seconds(self, z: Tensor, options: dict[str, Any]) -> float:
        """Seconds a row and pass to start all codebooks, from two passes at the first level."""
        first = self.sizes[0]
        brief = self._kmeans_of([first], {**options, "iterations": 1})
        found = self.watch.seconds(
            lambda: [*brief.start(z, torch.Generator().manual_seed(0))]
        ) / len(z)
        return found / 2 * sum(self.run.codebook_sizes) / first

    def _kmeans_options(self) -> dict[str, Any]:
        """Return the options of the rq_kmeans that is fitted, or that codebooks start from."""
        options = self.run.options
        if self.run.kind != "rq_vae":
            return dict(options)
        start = dict(options.get("start") or {}, beam_size=options["codebook"]["beam_size"])
        plain = {} if options["codebook"]["init"] == "rq_kmeans" else {"init": "random"}
        return {**start, **plain, "balance": None}

    def _kmeans_of(self, sizes: list[int], options: dict[str, Any]) -> RQKMeans:
        """Return an rq_kmeans that is not fitted."""
        as_it_is = {"normalize": False, "center": False, "scale": False}
        return RQKMeans(sizes, self.run.seed, self.tokenizer.device.type, as_it_is, options)

    # ---- what comes after it ---------------------------------------------------------------------

    def _encode(self) -> Growth:
        """Time `encode`."""
        self.tokenizer.encode(self.vectors[:WARM_UP_ROWS])
        whole = self.watch.seconds(lambda: self.tokenizer.encode(self.vectors))
        return Growth(0.0, whole / self.rows * self.codes_ratio)

    def _rough(self) -> Growth:
        """Time what tells the prefix groups of all items, where rq_kmeans is fitted on a part."""
        if self.run.kind != "rq_kmeans":
            return Growth(0.0, 0.0)
        tokenizer = self.tokenizer
        whole = self.watch.seconds(
            lambda: tokenizer.rough_prefixes(self.vectors, tokenizer.quantizer)
        )
        return Growth(0.0, whole / self.rows * self.codes_ratio)

    def _time_ids(self, vectors: np.ndarray) -> None:
        """Time de-duplication, and the metrics of these vectors (r, D)."""
        run, tokenizer = (
            self.run,
            as_crowded(self.tokenizer, self.latents, self.run, self.sizes[-1]),
        )
        codes = tokenizer.encode(vectors)

        def unique(rows: int) -> None:
            costs = TokenizerCosts(tokenizer, vectors[:rows])
            deduplicate(codes[:rows], costs, strategy=run.strategy, candidates=run.candidates)

        def measured(rows: int) -> None:
            as_it_is, queries = FitOptions(strategy="none"), min(run.queries, rows)
            measure(vectors[:rows], tokenizer, as_it_is, codes=codes[:rows], queries=queries)

        rows = min(self.rows, prod(tokenizer.codebook_sizes))
        self._warm_up(tokenizer, min(WARM_UP_ROWS, self.sizes[-1], rows))
        seconds = self.watch.seconds(lambda: unique(rows))
        last = run.codebook_sizes[-1] / self.sizes[-1]
        self.deduplicate = Growth(0.0, seconds / rows * last)
        measured(min(WARM_UP_ROWS, len(vectors)))
        self.evaluate = self.watch.growth(measured, len(vectors))

    def _warm_up(self, tokenizer: Any, rows: int) -> None:
        """Make codes unique that are all alike, so that what it needs is loaded."""
        alike = np.zeros((rows, len(self.sizes)), dtype=np.int32)
        costs = TokenizerCosts(tokenizer, self.vectors[:rows])
        deduplicate(alike, costs, strategy=self.run.strategy, candidates=self.run.candidates)
