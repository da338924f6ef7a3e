"""What every kind of tokenizer has in common.

Preprocessing, residual codes of a latent vector, saving and loading.

A kind says how a prepared vector becomes the latent vector that is quantised and back
(`_to_latent`, `_from_latent`), and how it is fitted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from semantic_ids.artifacts import Provenance
from semantic_ids.codes import check_sizes, sizes_of
from semantic_ids.compute.devices import full_precision, resolve
from semantic_ids.compute.streaming import Work, transform_rows
from semantic_ids.compute.threads import filled, parts_alone
from semantic_ids.contract import Assign, LinearDecoder
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.history import History
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.options import Options
from semantic_ids.progress import Progress
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers import format as on_disk
from semantic_ids.tokenizers.options import PreprocessOptions
from semantic_ids.tokenizers.preprocessing import Preprocessing

PREPROCESS_ROWS = 1 << 18
"""Mean and scale are those of the first rows by item hash, at most so many: more would only take
longer to read."""


class ResidualTokenizer(ABC):
    """Implements `contract.Tokenizer` for everything that quantises residuals.

    Args:
        codebook_sizes: Size of each level's codebook.
        seed: Seed of everything random in the fit.
        device: `auto`, `cpu` or `cuda`.
        preprocess: The group `options.PreprocessOptions`, or a mapping.
        options: The group of the kind, or a mapping.
    """

    kind: ClassVar[str]
    options_class: ClassVar[type[Options]]

    def __init__(
        self,
        codebook_sizes: Sequence[int] = (256, 256, 256),
        seed: int = 42,
        device: str = "auto",
        preprocess: Any = None,
        options: Any = None,
    ) -> None:
        self.codebook_sizes = sizes_of(codebook_sizes)
        self.seed = seed
        self.device = resolve(device)
        self.preprocess_options = PreprocessOptions.of(preprocess)
        self.options: Any = self.options_class.of(options)
        self.dim = 0
        self.fitted_rows: int | None = None
        self.checkpoints: Checkpoints | None = None
        self.history = History()
        self.report: dict[str, Any] = {}
        self.provenance: Provenance | None = None

    # ---- what a kind adds ------------------------------------------------------------------------

    @abstractmethod
    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        """Fit on rows of the vectors and return the codebooks, with prices where there are any."""

    def check_libraries(self) -> None:  # noqa: B027 - most kinds need none
        """Raise `BadInput` where `fit` would need a library that is not installed."""

    @property
    def beam_size(self) -> int:
        """Width of the beam that `encode` follows; with 1 each level takes its nearest code."""
        return 1

    @property
    def is_balanced(self) -> bool:
        """Whether codes have prices, which keep them from being too full."""
        return False

    def _to_latent(self, x: Tensor) -> Tensor:
        """Map prepared vectors to the space that is quantised: (m, W) → (m, d)."""
        return x

    def _from_latent(self, z: Tensor) -> Tensor:
        """Map quantised vectors back: (m, d) → (m, W)."""
        return z

    def _weights(self) -> dict[str, Tensor]:
        """Tensors to save beside the codebooks and the preprocessing."""
        return {}

    def _load_weights(self, weights: dict[str, Tensor]) -> None:  # noqa: B027 - nothing to load is a good answer
        """Undo `_weights`."""

    # ---- the contract ----------------------------------------------------------------------------

    @property
    def normalizes(self) -> bool:
        """Whether vectors are brought to unit length first."""
        return self.preprocess_options.normalize

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

    @property
    def config(self) -> dict[str, Any]:
        """What config.json holds: all that is needed beside the weights."""
        return {
            "format": on_disk.FORMAT,
            "kind": self.kind,
            "dim": self.dim,
            "fitted_rows": self.fitted_rows,
            "codebook_sizes": list(self.codebook_sizes),
            "seed": self.seed,
            "preprocess": self.preprocess_options.to_dict(),
            "options": self.options.to_dict(),
        }

    @property
    def content(self) -> str:
        """16 hex digits that stand for the configuration and everything learned."""
        tensors = {name: t.detach().cpu().numpy() for name, t in sorted(self._tensors().items())}
        return fingerprint(self.config, *(part for named in tensors.items() for part in named))

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
                self.preprocessing.undo(self._from_latent(self.quantizer.decode(filled(chosen))))
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
        shut = (
            None
            if excluded is None
            else torch.from_numpy(np.ascontiguousarray(excluded, dtype=np.int64)).to(self.device)
        )
        shut = self.quantizer.excluded_table(shut)

        def work(x: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            return self.quantizer.best_codes(
                self._latent(x)[: part.stop - part.start], t, distinct_prefixes, shut
            )

        self._each(work, vectors, codes, costs)
        return codes, costs

    def to(self, device: str) -> Self:
        """Move to `auto`, `cpu` or `cuda`."""
        self.device = resolve(device)
        if self.dim:
            self.preprocessing = self.preprocessing.to(self.device)
            self.quantizer = self.quantizer.to(self.device)
        return self

    def save(self, directory: str | Path) -> None:
        """Write the folder that `load_tokenizer` reads, whole or not at all.

        See `tokenizers.format` for what is in it. A tokenizer that is there is replaced.

        Raises:
            BadInput: It is not fitted, the folder holds other files, or it cannot be written.
        """
        self._require_fitted()
        on_disk.write(directory, self.config, self._tensors(), self.provenance)

    @classmethod
    def load(cls, directory: str | Path, config: dict[str, Any], device: str = "cpu") -> Self:
        """Load what `save` wrote; `config` is the content of config.json."""
        try:
            weights = on_disk.read_tensors(directory, config)
            tokenizer = cls._from_config(config, device)
            tokenizer.dim, tokenizer.fitted_rows = int(config["dim"]), config.get("fitted_rows")
            tokenizer._restore(weights)
        except (KeyError, RuntimeError) as error:
            raise BadInput(
                f"the tokenizer cannot be read: {error!r}",
                where=str(directory),
                do="save it again",
                remake="tokenizer",
            ) from error
        tokenizer.provenance = on_disk.read_provenance(directory)
        return tokenizer

    @classmethod
    def _from_config(cls, config: dict[str, Any], device: str) -> Self:
        """Make one that is not fitted, of what config.json holds."""
        return cls(
            config["codebook_sizes"],
            config["seed"],
            device,
            config["preprocess"],
            config["options"],
        )

    def _tensors(self) -> dict[str, Tensor]:
        """Return everything that was learned, by name."""
        named = {"codebook": self.quantizer.codebooks, "price": self.quantizer.prices}
        tensors = {
            f"{name}.{level}": tensor
            for name, levels in named.items()
            for level, tensor in enumerate(levels, start=1)
        }
        tensors |= {
            "preprocess.mean": self.preprocessing.mean,
            "preprocess.scale": torch.tensor([self.preprocessing.scale], dtype=torch.float64),
        }
        if self.preprocessing.axes is not None and self.preprocessing.whitening is not None:
            tensors |= {
                "preprocess.axes": self.preprocessing.axes,
                "preprocess.whitening": self.preprocessing.whitening,
            }
        return tensors | self._weights()

    def _restore(self, weights: dict[str, Tensor]) -> None:
        mean, scale = weights["preprocess.mean"], float(weights["preprocess.scale"][0])
        rotation = [
            weights[f"preprocess.{name}"]
            for name in ("axes", "whitening")
            if self.preprocess_options.rotates(self.dim)
        ]
        self.preprocessing = Preprocessing(self.normalizes, mean, scale, *rotation).to(self.device)
        levels = range(1, len(self.codebook_sizes) + 1)
        prices = [weights[f"price.{level}"] for level in levels] if self.is_balanced else []
        self.quantizer = ResidualQuantizer(
            [weights[f"codebook.{level}"] for level in levels], prices
        ).to(self.device)
        self._load_weights(weights)

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
        return self._to_latent(self.preprocessing.apply(filled(x)))

    def _codes(self, codes: np.ndarray) -> Tensor:
        """Bring codes to the device, filled up to `LEAST_ROWS` rows."""
        return filled(torch.from_numpy(codes.astype(np.int64))).to(self.device, non_blocking=True)

    def _require_fitted(self) -> None:
        if not self.dim:
            raise BadInput(
                "the tokenizer is not fitted",
                where=type(self).__name__,
                do="call `fit(vectors)` first, or load a fitted one with `load_tokenizer(folder)`",
            )

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
