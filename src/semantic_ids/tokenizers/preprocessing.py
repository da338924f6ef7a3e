"""What happens to vectors before quantising: unit length, centring, one scale. Fitted with the tokenizer, undone by `decode`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks, read_rows
from semantic_ids.errors import BadInput


@dataclass(frozen=True)
class PreprocessOptions:
    """Described in `parameters.PreprocessParameters`."""

    normalize: bool = False
    center: bool = True
    scale: bool = True


@dataclass
class Preprocessing:
    """`x → (x / ‖x‖ − mean) / scale`, each part where it is wanted.

    Attributes:
        normalize: Whether vectors are brought to unit length.
        mean: Shape (D,), zeros where vectors are not centred.
        scale: One number, 1 where vectors are not scaled.
    """

    normalize: bool
    mean: Tensor
    scale: float

    @classmethod
    def fit(cls, vectors: np.ndarray, rows: np.ndarray, options: PreprocessOptions) -> Preprocessing:
        """Measure mean and scale over some rows, in one pass.

        The sums are of differences from the first chunk's mean, in float64, so that a large common offset does no harm.
        """
        count = len(rows)
        shift, first, second = np.zeros(0), np.zeros(0), 0.0
        for part in chunks(count):
            x = read_rows(vectors, rows[part])
            x = unit_length(torch.from_numpy(x)).numpy() if options.normalize else x
            if part.start == 0:
                shift = x.mean(axis=0, dtype=np.float64) if options.center else np.zeros(x.shape[1])
                first = np.zeros(x.shape[1])
            x -= shift.astype(np.float32)
            first += x.sum(axis=0, dtype=np.float64)
            second += float(np.einsum("ij,ij->i", x, x).sum(dtype=np.float64))
        shift = shift.astype(np.float32).astype(np.float64)
        mean = shift + first / count if options.center else np.zeros_like(first)
        spread = second - (float(first @ first) / count if options.center else 0.0)
        scale = float(np.sqrt(max(spread, 0.0) / count / len(first))) if options.scale else 1.0
        return cls(options.normalize, torch.from_numpy(mean.astype(np.float32)), scale or 1.0)

    def to(self, device: torch.device) -> Preprocessing:
        """Return the same on a device."""
        return Preprocessing(self.normalize, self.mean.to(device), self.scale)

    def apply(self, x: Tensor) -> Tensor:
        """Prepare vectors: (m, D) float32 → (m, D) float32."""
        x = unit_length(x) if self.normalize else x
        return (x - self.mean) / self.scale

    def undo(self, y: Tensor) -> Tensor:
        """Lead back: (m, D) → (m, D); unit vectors where vectors were brought to unit length."""
        x = y * self.scale + self.mean
        return torch.nn.functional.normalize(x, dim=1) if self.normalize else x


def unit_length(x: Tensor) -> Tensor:
    """Divide each row by its Euclidean norm.

    Raises:
        BadInput: A row is all zero: it has no direction.
    """
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if bool((norms == 0).any()):
        raise BadInput(
            f"{int((norms == 0).sum())} vectors are zero and cannot be brought to unit length",
            where="tokenizer.preprocess.normalize",
            expected="vectors with a direction",
            do="take --params=tokenizer.preprocess.normalize=false, or run 'ingest' again with ingest.on_invalid=drop",
        )
    return x / norms
