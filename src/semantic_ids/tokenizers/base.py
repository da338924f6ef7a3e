"""What every kind of tokenizer has in common: preprocessing, and residual codes of a latent vector.

What it has learned, and how that is saved and loaded, is in `state`. A kind says how a prepared
vector becomes the latent vector that is quantised and back (`_to_latent`, `_from_latent`), and how
it is fitted.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import numpy as np
import torch
from torch import Tensor

from semantic_ids.codes import check_sizes
from semantic_ids.compute.devices import full_precision
from semantic_ids.compute.streaming import Work, transform_rows
from semantic_ids.compute.threads import pad_rows, parts_alone
from semantic_ids.contract import Assign, LinearDecoder
from semantic_ids.errors import BadInput
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.progress import Progress
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.options import RQKMeansOptions
from semantic_ids.tokenizers.preprocessing import Preprocessing
from semantic_ids.tokenizers.state import TokenizerState

PREPROCESS_ROWS = 1 << 18
"""Mean and scale are those of the first rows by item hash, at most so many: more would only take
longer to read."""


class ResidualTokenizer(TokenizerState):
    """Implements `contract.Tokenizer` for everything that quantises residuals.

    For its arguments see `state.TokenizerState`.
    """

    # ---- what a kind adds ------------------------------------------------------------------------

    @abstractmethod
    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        """Fit on rows of the vectors and return the codebooks, with prices where there are any."""

    def check_libraries(self) -> None:
        """Raise `BadInput` where `fit` would need a library that is not installed."""

    @property
    def beam_size(self) -> int:
        """Width of the beam that `encode` follows; with 1 each level takes its nearest code."""
        return 1

    @property
    def codebook_options(self) -> RQKMeansOptions:
        """How codebooks are solved for, where vectors and codes are given."""
        return RQKMeansOptions()

    def _to_latent(self, x: Tensor) -> Tensor:
        """Map prepared vectors to the space that is quantised: (m, W) → (m, d)."""
        return x

    def _from_latent(self, z: Tensor) -> Tensor:
        """Map quantised vectors back: (m, d) → (m, W)."""
        return z

    # ---- the contract ----------------------------------------------------------------------------

    @property
    def preserves_distances(self) -> bool:
        """Whether the space that is quantised is that of decoded vectors, but for a shift and one
        factor for all distances.
        """
        return False

    @property
    def width(self) -> int:
        """Number W of dimensions of prepared vectors.

        `dim`, or fewer where principal axes are cut off.
        """
        return self.preprocessing.width

    def fit(
        self,
        vectors: np.ndarray,
        *,
        rows: np.ndarray | None = None,
        monitor_rows: np.ndarray | None = None,
        assign: Assign | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> Self:
        """Fit on `rows` of `vectors` (n, D), all if None.

        Kinds that train in epochs watch `monitor_rows` and keep `checkpoints`; kinds that can are
        refined against the codes that `assign` makes unique.

        Raises:
            BadInput: Fewer rows than codes, fewer codes than rows that are to be unique, codes that
                do not fit a 63-bit key, more dimensions to keep than there are, or a library that
                is not installed.
        """
        rows = np.arange(len(vectors)) if rows is None else np.asarray(rows)
        _require_ascending(rows, len(vectors))
        check_sizes(len(rows), self.codebook_sizes, unique=assign is not None)
        self.check_libraries()
        self.dim, self.checkpoints = int(vectors.shape[1]), checkpoints
        watched = (
            rows if monitor_rows is None or not len(monitor_rows) else np.asarray(monitor_rows)
        )
        with full_precision(self.device), parts_alone():
            fitted = Preprocessing.fit(
                vectors, rows[:PREPROCESS_ROWS], self.preprocess_options, self.device
            )
            self.preprocessing = fitted.to(self.device)
            self.quantizer = self._fit(vectors, rows, watched, assign)
            self.fitted_rows = self.report.get("rows")
        return self

    def encode(self, vectors: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """Return the codes of vectors: (m, D) → (m, L) int32.

        `progress` advances by the rows that are done.
        """
        vectors = self._checked(vectors)
        codes = np.empty((len(vectors), len(self.codebook_sizes)), dtype=np.int32)
        self._each(
            lambda x, _: [self.quantizer.encode(self._latent(x), self.beam_size)],
            vectors,
            codes,
            progress=progress,
        )
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the vectors that codes or their prefixes stand for.

        (m, p) → (m, D) float32, p ≤ L.
        """
        codes = np.asarray(codes)
        given = codes.shape[1] if codes.ndim == 2 else 0
        codes = self._checked_codes(codes, min(given, len(self.codebook_sizes)))
        vectors = np.empty((len(codes), self.dim), dtype=np.float32)

        def work(chosen: Tensor, _: slice) -> list[Tensor]:
            return [
                self.preprocessing.undo(self._from_latent(self.quantizer.decode(pad_rows(chosen))))
            ]

        self._each(work, codes, vectors, dtype=torch.int64)
        return vectors

    def linear_decoder(self) -> LinearDecoder | None:
        """Return `decode` as a sum of vectors, None where it is none."""
        return None

    def distortion(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return the squared error of each vector with its codes, in the space that is quantised.

        (m, D), (m, L) → (m,) float32.
        """
        vectors, codes = (
            self._checked(vectors),
            self._checked_codes(codes, len(self.codebook_sizes)),
        )
        errors = np.empty(len(vectors), dtype=np.float32)
        self._each(
            lambda x, part: [self.quantizer.errors(self._latent(x), self._codes(codes[part]))],
            vectors,
            errors,
        )
        return errors

    def level_costs(self, vectors: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """Return the squared error of each last-level code under a given prefix.

        (m, D), (m, L−1) → (m, K_L) float32.
        """
        vectors, prefixes = (
            self._checked(vectors),
            self._checked_codes(prefixes, len(self.codebook_sizes) - 1),
        )
        costs = np.empty((len(vectors), self.codebook_sizes[-1]), dtype=np.float32)
        self._each(
            lambda x, part: [
                self.quantizer.last_level_costs(self._latent(x), self._codes(prefixes[part]))
            ],
            vectors,
            costs,
        )
        return costs

    def candidates(
        self,
        vectors: np.ndarray,
        t: int,
        *,
        distinct_prefixes: bool = False,
        excluded: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the t best full codes of each vector and their distortion.

        See `contract.Tokenizer.candidates`.
        """
        vectors = self._checked(vectors)
        codes = np.empty((len(vectors), t, len(self.codebook_sizes)), dtype=np.int32)
        costs = np.empty((len(vectors), t), dtype=np.float32)
        table = self.quantizer.excluded_table(self._keys(excluded))

        def work(x: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            return self.quantizer.best_codes(
                self._latent(x)[: part.stop - part.start], t, distinct_prefixes, table
            )

        self._each(work, vectors, codes, costs)
        return codes, costs

    # ---- inside ----------------------------------------------------------------------------------

    def _each(
        self,
        work: Work,
        inputs: np.ndarray,
        *outputs: np.ndarray,
        dtype: torch.dtype = torch.float32,
        progress: Progress | None = None,
    ) -> None:
        width = max(self.dim, sum(self.codebook_sizes))
        transform_rows(work, inputs, outputs, self.device, width, dtype, progress)

    def _latent(self, x: Tensor) -> Tensor:
        """Map rows on the device to the space that is quantised, filled up to `LEAST_ROWS`."""
        return self._to_latent(self.preprocessing.apply(pad_rows(x)))

    def _keys(self, excluded: np.ndarray | None) -> Tensor | None:
        """Move the keys of excluded prefixes to the device: (e,) → (e,) int64."""
        if excluded is None:
            return None
        return torch.from_numpy(np.ascontiguousarray(excluded, dtype=np.int64)).to(self.device)

    def _codes(self, codes: np.ndarray) -> Tensor:
        """Move codes to the device, filled up to `LEAST_ROWS` rows."""
        return pad_rows(torch.from_numpy(codes.astype(np.int64))).to(self.device, non_blocking=True)

    def _checked(self, vectors: np.ndarray) -> np.ndarray:
        self._require_fitted()
        vectors = np.asanyarray(vectors)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BadInput(
                f"vectors of shape {vectors.shape}",
                where=f"tokenizer ({self.kind})",
                expected=f"(m, {self.dim})",
            )
        return vectors

    def _checked_codes(self, codes: np.ndarray, width: int) -> np.ndarray:
        self._require_fitted()
        codes = np.asarray(codes)
        sizes = np.array(self.codebook_sizes[:width])
        if (
            codes.ndim != 2
            or codes.shape[1] != width
            or (len(codes) and ((codes < 0) | (codes >= sizes)).any())
        ):
            raise BadInput(
                f"codes of shape {codes.shape}",
                where=f"tokenizer ({self.kind})",
                expected=f"(m, {width}), each in [0, K) of its level",
            )
        return codes


def _require_ascending(rows: np.ndarray, n: int) -> None:
    """Refuse row numbers that do not ascend, or that are not there."""
    ascend = rows.ndim == 1 and bool((np.diff(rows) > 0).all())
    if not ascend or (len(rows) and not 0 <= rows[0] <= rows[-1] < n):
        raise BadInput(
            "row numbers that do not ascend, or are not there",
            where="rows",
            expected=f"ascending row numbers from 0 to {n - 1:,}, each once",
        )
