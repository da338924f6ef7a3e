"""Residual k-means: level l clusters what levels 1 … l−1 left over.

Then all levels are refined together.

Fitted in memory on a sample that is bounded by `max_points_per_centroid`, in four steps: codebooks
level by level on a small part of it (`kmeans`), annealing and refinement (`refinement`), and
refinement against the unique assignment where one is given (of the last level alone, on whole
prefix groups, where the sample is not all: `prefix_groups`); where codes may not be too full, with
prices that see to it (`balance`). All but the last works along the principal axes of the sample,
most variance first: distances are the same there, and the early steps can do without the last axes.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks, trim_memory
from semantic_ids.compute.streaming import load_rows
from semantic_ids.contract import Assign, LinearDecoder
from semantic_ids.hashing import hashes_of
from semantic_ids.history import History
from semantic_ids.options import Options
from semantic_ids.progress import Progress
from semantic_ids.quantization.balance import (
    FOLLOWED_ROUNDS,
    SETTLED_ROUNDS,
    Prices,
    fit_prices,
    settle,
)
from semantic_ids.quantization.faiss_kmeans import log_device
from semantic_ids.quantization.refinement import Choose, Round, anneal, encode, refine
from semantic_ids.quantization.residual import ResidualQuantizer, sums
from semantic_ids.tokenizers.base import ResidualTokenizer
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.prefix_groups import draw_groups, refine_last_level
from semantic_ids.tokenizers.rounds import Rounds
from semantic_ids.tokenizers.starts import along_axes, start_codebooks, start_rows
from semantic_ids.tokenizers.unique import Unique, unique_by

logger = logging.getLogger(__name__)

WHOLE_ROUNDS = 2
"""The last rounds of refinement work on all axes."""


class RQKMeans(ResidualTokenizer):
    """Residual k-means in the space of the prepared vectors."""

    kind: ClassVar[str] = "rq_kmeans"
    options_class: ClassVar[type[Options]] = RQKMeansOptions

    def check_libraries(self) -> None:
        """Raise `BadInput` where FAISS is the engine and is not installed."""
        if self.options.engine == "faiss":
            log_device(self.device)

    @property
    def beam_size(self) -> int:
        """Width of the beam that `encode` follows."""
        return self.options.beam_size

    @property
    def codebook_options(self) -> RQKMeansOptions:
        """How codebooks are solved for."""
        return self.options

    @property
    def is_balanced(self) -> bool:
        """Whether codes have prices, which keep them from being too full."""
        return self.options.balance is not None

    @property
    def preserves_distances(self) -> bool:
        """Whether preprocessing only shifts and scales, so that distances are the same but for one
        factor.
        """
        return not self.normalizes and not self.preprocess_options.rotates(self.dim)

    def linear_decoder(self) -> LinearDecoder:
        """Return `decode` as a sum of vectors."""
        prepared = self.preprocessing
        units = prepared.scale * (
            1.0 if prepared.whitening is None else prepared.whitening.cpu().numpy()
        )
        return LinearDecoder(
            self.normalizes,
            prepared.mean.cpu().numpy(),
            None if prepared.axes is None else prepared.axes.cpu().numpy(),
            [
                (c.cpu().numpy().astype(np.float64) * units).astype(np.float32)
                for c in self.quantizer.codebooks
            ],
        )

    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        started = time.perf_counter()
        sampled = rows[: max(self.codebook_sizes) * self.options.max_points_per_centroid]
        self.history = History()
        assign = assign if self.options.unique_rounds else None
        sees_all = len(sampled) == len(rows)
        unique_rows = len(sampled) if assign and sees_all else 0
        with torch.no_grad():
            sample, axes, kept = along_axes(
                load_rows(vectors, sampled, self.preprocessing.apply, self.device, self.width)
            )
            variance = _mean_square(sample) or 1.0
            unique = unique_by(assign, vectors, sampled) if assign and sees_all else None
            found = self._refined(sample, variance, kept, unique)
            del sample
            quantizer = ResidualQuantizer([c @ axes.T for c in found.codebooks], found.prices)
            if assign and not sees_all:
                quantizer, unique_rows = self._refined_in_groups(
                    quantizer, vectors, rows, len(sampled), variance, assign
                )
        self.report = {
            "rows": len(sampled),
            "seconds": time.perf_counter() - started,
            "unique_rounds": sum(record.phase == "unique" for record in self.history),
            "unique_rows": unique_rows,
        }
        return quantizer

    def _refined_in_groups(
        self,
        quantizer: ResidualQuantizer,
        vectors: np.ndarray,
        rows: np.ndarray,
        most: int,
        variance: float,
        assign: Assign,
    ) -> tuple[ResidualQuantizer, int]:
        """Refine the last codebook for unique IDs on whole prefix groups, where the fit sees a part
        of the items: see `prefix_groups`.

        Returns:
            The codebooks, and how many items the groups have: at most `most`.
        """
        drawn, prefixes = self._whole_groups(quantizer, vectors, rows, most)
        if not len(drawn):
            return quantizer, 0
        *others, last = quantizer.codebooks
        trim_memory()
        rest = load_rows(vectors, drawn, self.preprocessing.apply, self.device, self.width)
        for part in chunks(len(rest)):
            rest[part] -= sums(others, torch.from_numpy(prefixes[part]).long().to(self.device))
        sizes, hashes = self.codebook_sizes, hashes_of(vectors, drawn)
        refined = refine_last_level(rest, prefixes, last, sizes, assign, hashes, self.options)
        with Progress("fit for unique IDs", self.options.unique_rounds, "rounds") as progress:
            found = Rounds(self.history, variance, progress).take("unique", refined, [last])
        return ResidualQuantizer([*others, *found], quantizer.prices), len(drawn)

    def rough_prefixes(self, vectors: np.ndarray, quantizer: ResidualQuantizer) -> np.ndarray:
        """Return about the nearest code of each level but the last: (n, D) → (n, L − 1) int32.

        See `ResidualQuantizer.encode_roughly`.
        """
        prefixes = np.empty((len(vectors), len(quantizer.sizes) - 1), dtype=np.int32)
        if others := quantizer.codebooks[:-1]:
            rough = ResidualQuantizer(others).encode_roughly
            self._each(lambda x, _: [rough(self._latent(x))], vectors, prefixes)
        return prefixes

    def _whole_groups(
        self, quantizer: ResidualQuantizer, vectors: np.ndarray, rows: np.ndarray, most: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw whole prefix groups; return the numbers of their rows, (m,), and their prefixes,
        (m, L − 1) int32.

        The prefixes are rough ones: groups by them are as full, and leave over as much, as those by
        the codes that `encode` chooses, which would take three times as long.
        """
        if self.is_balanced:  # prices are settled for codebooks as they are
            logger.info(
                "no rounds for unique IDs: with balance they need a fit that sees every item; a"
                " max_points_per_centroid of at least %d lets it",
                math.ceil(len(rows) / max(self.codebook_sizes)),
            )
            return rows[:0], np.empty((0, len(self.codebook_sizes) - 1), dtype=np.int32)
        prefixes = self.rough_prefixes(vectors, quantizer)[rows]
        drawn = draw_groups(prefixes, self.codebook_sizes, most)
        logger.info(
            "unique IDs: the last codebook is refined on whole groups of a prefix, %s of %s items",
            f"{len(drawn):,}",
            f"{len(rows):,}",
        )
        return rows[drawn], prefixes[drawn]

    def _refined(
        self, sample: Tensor, variance: float, kept: int, unique: Unique | None
    ) -> ResidualQuantizer:
        """Fit codebooks and prices, step by step, and write the history.

        (s, W) → codebooks (K_l, W).
        """
        generator = torch.Generator().manual_seed(self.seed)
        counts, rows = self._rounds(unique), self._rows_a_round(len(sample))
        work = sum(count * rows[phase] for phase, count in counts.items())
        with Progress("fit", sum(counts.values()), "rounds", work=work) as progress:
            rounds = Rounds(self.history, variance, progress, rows)
            codebooks = rounds.take("start", self.start(sample, generator), [])
            prices = None
            if self.is_balanced:
                unit = self.history[-1]["relative_mse"] * variance
                prices = Prices(sample, self.codebook_sizes, self.options.balance, unit)
            codebooks = self._early(rounds, sample, kept, codebooks, prices, generator)
            codebooks = self._late(rounds, sample, codebooks, prices, unique)
        return ResidualQuantizer(codebooks, prices.levels if prices else [])

    def _rounds(self, unique: Unique | None) -> dict[str, int]:
        """Count the rounds of each phase that there will be, at most."""
        options = self.options
        return {
            "start": len(self.codebook_sizes),
            "anneal": options.anneal_rounds,
            "refine": options.refine_rounds,
            "unique": options.unique_rounds if unique else 0,
            "balance": FOLLOWED_ROUNDS + SETTLED_ROUNDS if self.is_balanced else 0,
        }

    def _rows_a_round(self, rows: int) -> dict[str, float]:
        """Return how many rows a round of each phase sees, one that is seen again counted again."""
        options = self.options
        passes = options.iterations * options.restarts
        return {
            "start": min(rows, start_rows(options.init_rows, self.codebook_sizes)) * passes,
            "anneal": min(rows, options.anneal_rows),
            **dict.fromkeys(("refine", "unique", "balance"), rows),
        }

    def _early(
        self,
        rounds: Rounds,
        sample: Tensor,
        kept: int,
        codebooks: list[Tensor],
        prices: Prices | None,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Anneal and refine along the axes of most variance; return codebooks of all axes."""
        options = self.options
        annealed = anneal(
            sample[:, :kept],
            codebooks,
            beam=options.beam_size,
            rounds=options.anneal_rounds,
            rows=options.anneal_rows,
            temperature=options.temperature,
            ridge=options.ridge,
            generator=generator,
            prices=prices,
        )
        found = rounds.take("anneal", annealed, codebooks, _mean_square(sample[:, kept:]))
        short = sample[:, : found[0].shape[1]]  # all axes where nothing was annealed
        early = max(0, options.refine_rounds - WHOLE_ROUNDS)
        refined = self._refine(short, found, self._chosen(short), early, prices)
        left_out = _mean_square(sample[:, short.shape[1] :])
        found = rounds.take("refine", refined, found, left_out)
        missing = sample.shape[1] - short.shape[1]
        return [torch.nn.functional.pad(c, (0, missing)) for c in found]

    def _late(
        self,
        rounds: Rounds,
        sample: Tensor,
        codebooks: list[Tensor],
        prices: Prices | None,
        unique: Unique | None,
    ) -> list[Tensor]:
        """Refine along all axes, for prices and for unique codes where there are any."""
        options, choose = self.options, self._chosen(sample)
        whole = min(options.refine_rounds, WHOLE_ROUNDS)
        refined = self._refine(sample, codebooks, choose, whole, prices)
        codebooks = rounds.take("refine", refined, codebooks)
        if prices:
            followed = fit_prices(sample, codebooks, prices, choose, options.ridge)
            codebooks = rounds.take("balance", followed, codebooks)
        if unique:
            assigned = self._assigned(sample, unique)
            refined = self._refine(sample, codebooks, assigned, options.unique_rounds, prices)
            codebooks = rounds.take("unique", refined, codebooks)
        if prices:
            rounds.take("balance", settle(sample, codebooks, prices, choose), codebooks)
            prices.report(choose(ResidualQuantizer(codebooks, prices.levels)))
        return codebooks

    def _refine(
        self,
        sample: Tensor,
        codebooks: list[Tensor],
        choose: Choose,
        rounds: int,
        prices: Prices | None,
    ) -> Iterator[Round]:
        gain, ridge = self.options.refine_gain, self.options.ridge
        return refine(
            sample, codebooks, choose, rounds=rounds, gain=gain, ridge=ridge, prices=prices
        )

    def start(self, sample: Tensor, generator: torch.Generator) -> Iterator[Round]:
        """Fit the codebooks level by level on a part of the sample."""
        return start_codebooks(sample, self.codebook_sizes, self.options, generator)

    def _chosen(self, sample: Tensor) -> Choose:
        """Choose codes as `encode` will."""
        return lambda quantizer: encode(sample, quantizer, 1, self.options.beam_size)[0][:, 0]

    def _assigned(self, sample: Tensor, unique: Unique) -> Choose:
        """Choose codes as `encode` will, and make them unique."""
        choose = self._chosen(sample)
        return lambda quantizer: unique(sample, quantizer, choose(quantizer))


def _mean_square(x: Tensor) -> float:
    """Return the mean squared length of vectors, 0 without dimensions: (n, d) → a number."""
    if not x.shape[1]:
        return 0.0
    return float(torch.linalg.vector_norm(x, dim=1).double().square().mean())
