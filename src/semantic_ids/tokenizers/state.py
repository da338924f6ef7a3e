"""What a tokenizer was made with and what it has learned: saved, loaded, moved to a device."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from semantic_ids.artifacts import Provenance
from semantic_ids.codes import sizes_of
from semantic_ids.compute.devices import resolve
from semantic_ids.errors import BadInput
from semantic_ids.hashing import fingerprint
from semantic_ids.history import History
from semantic_ids.learning.checkpoints import Checkpoints
from semantic_ids.options import Options
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers import format as on_disk
from semantic_ids.tokenizers.options import PreprocessOptions
from semantic_ids.tokenizers.preprocessing import Preprocessing


class TokenizerState(ABC):
    """The state of every kind of tokenizer, before and after it is fitted.

    Args:
        codebook_sizes: Size of each level's codebook.
        seed: Seed of everything random in the fit.
        device: `auto`, `cpu` or `cuda`.
        preprocess: The group `options.PreprocessOptions`, or a mapping.
        options: The group of the kind, or a mapping.
    """

    kind: ClassVar[str]
    options_class: ClassVar[type[Options]]
    preprocessing: Preprocessing
    quantizer: ResidualQuantizer

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

    @property
    def is_balanced(self) -> bool:
        """Whether codes have prices, which keep them from being too full."""
        return False

    def _weights(self) -> dict[str, Tensor]:
        """Tensors to save beside the codebooks and the preprocessing."""
        return {}

    def _load_weights(self, weights: dict[str, Tensor]) -> None:  # noqa: B027 - nothing to load is a good answer
        """Restore what `_weights` returned."""

    # ---- what it was made with and what it learned -----------------------------------------------

    @property
    def normalizes(self) -> bool:
        """Whether vectors are scaled to unit length first."""
        return self.preprocess_options.normalize

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

    # ---- where it is -----------------------------------------------------------------------------

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
        return tensors | self._preprocess_tensors() | self._weights()

    def _preprocess_tensors(self) -> dict[str, Tensor]:
        tensors = {
            "preprocess.mean": self.preprocessing.mean,
            "preprocess.scale": torch.tensor([self.preprocessing.scale], dtype=torch.float64),
        }
        if self.preprocessing.axes is not None and self.preprocessing.whitening is not None:
            tensors |= {
                "preprocess.axes": self.preprocessing.axes,
                "preprocess.whitening": self.preprocessing.whitening,
            }
        return tensors

    def _restore(self, weights: dict[str, Tensor]) -> None:
        """Take what `_tensors` returned."""
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

    def _require_fitted(self) -> None:
        if not self.dim:
            raise BadInput(
                "the tokenizer is not fitted",
                where=type(self).__name__,
                do="call `fit(vectors)` first, or load a fitted one with `load_tokenizer(folder)`",
            )
