"""Codebooks of any system as one of our tokenizers, so that everyone is de-duplicated and measured
by the same code.

Importing this module imports torch; a process whose memory is measured does so only afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from semantic_ids.contract import Assign
from semantic_ids.options import Options
from semantic_ids.quantization.residual import ResidualQuantizer
from semantic_ids.tokenizers.base import ResidualTokenizer

Map = Callable[[Tensor], Tensor]
AS_IT_IS = {"normalize": False, "center": False, "scale": False}


@dataclass(frozen=True)
class NoOptions(Options):
    """There is nothing to choose."""


class Given(ResidualTokenizer):
    """Given codebooks in the space of the vectors, or in a latent space between an encoder and a
    decoder.

    Args:
        codebooks: L arrays (K_l, d).
        encoder: (m, D) → (m, d); None where the vectors themselves are quantised.
        decoder: (m, d) → (m, D).
        dim: Width D of the vectors, where it is not that of the codebooks.
    """

    kind: ClassVar[str] = "given"
    options_class: ClassVar[type[Options]] = NoOptions

    def __init__(
        self,
        codebooks: Sequence[np.ndarray],
        *,
        encoder: Map | None = None,
        decoder: Map | None = None,
        dim: int | None = None,
    ) -> None:
        sizes = [len(codebook) for codebook in codebooks]
        super().__init__(sizes, device="cpu", preprocess=AS_IT_IS)
        self._given = [
            torch.from_numpy(np.array(codebook, dtype=np.float32, order="C"))
            for codebook in codebooks
        ]
        self._encoder, self._decoder = encoder, decoder
        self.fit(
            np.zeros((max(sizes), dim or self._given[0].shape[1]), dtype=np.float32)
        )  # nothing is learnt from it

    def _fit(
        self, vectors: np.ndarray, rows: np.ndarray, monitor_rows: np.ndarray, assign: Assign | None
    ) -> ResidualQuantizer:
        return ResidualQuantizer(self._given)

    def _to_latent(self, x: Tensor) -> Tensor:
        return self._encoder(x) if self._encoder else x

    def _from_latent(self, z: Tensor) -> Tensor:
        return self._decoder(z) if self._decoder else z
