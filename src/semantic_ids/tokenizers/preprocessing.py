"""What happens to vectors before quantising: unit length, centring, principal axes, one scale.

Fitted with the tokenizer, undone by `decode`. Principal axes, to keep the first few of them or to
even out their variances, are those of Pearson ("On lines and planes of closest fit to systems of
points in space", 1901). A rotation alone changes no distance, so it happens only where one of the
two is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semantic_ids.arrays import chunks, one_thread, read_rows, require_finite
from semantic_ids.errors import BadInput
from semantic_ids.tokenizers.options import PreprocessOptions

LEAST_SPREAD = 1e-3
"""An axis with a smaller share of the largest standard deviation is whitened as if it had this one:
what lies there is mostly rounding."""


@dataclass
class Preprocessing:
    """`x → (x / ‖x‖ − mean) · axes / whitening / scale`, each part where it is wanted.

    Attributes:
        normalize: Whether vectors are brought to unit length.
        mean: Shape (D,), zeros where vectors are not centred.
        scale: One number, 1 where vectors are not scaled.
        axes: Shape (D, W): an orthonormal column each principal axis kept, that of most variance
            first. None where nothing is rotated.
        whitening: Shape (W,), float64: what each axis is divided by beside the scale; 1 where
            nothing is whitened. None without axes.
    """

    normalize: bool
    mean: Tensor
    scale: float
    axes: Tensor | None = None
    whitening: Tensor | None = None

    def __post_init__(self) -> None:
        if self.axes is not None and self.whitening is not None:
            divisors = self.whitening * self.scale
            self._into = (self.axes.double() / divisors).float()  # (D, W)
            self._back = (self.axes.double() * divisors).float().T.contiguous()  # (W, D)

    @classmethod
    def fit(
        cls,
        vectors: np.ndarray,
        rows: np.ndarray,
        options: PreprocessOptions,
        device: torch.device | None = None,
    ) -> Preprocessing:
        """Measure mean and scale, and where they are needed the principal axes, over some rows in
        one pass.

        The sums are of differences from the first chunk's mean, in float64, so that a large common
        offset does no harm. The products that principal axes take are made on the device, if one is
        given; the rest, and the result, is on the CPU.

        Raises:
            BadInput: More dimensions are to be kept than there are, or a vector to normalise is
                zero.
        """
        dim, count = int(vectors.shape[1]), len(rows)
        _check_dimensions(options.dimensions, dim)
        shift, first, second = np.zeros(0), np.zeros(0), 0.0
        products = np.zeros((dim, dim)) if options.rotates(dim) else None
        for part in chunks(count):
            x = read_rows(vectors, rows[part])
            require_finite(x, rows[part])
            x = unit_length(torch.from_numpy(x)).numpy() if options.normalize else x
            if part.start == 0:
                shift = x.mean(axis=0, dtype=np.float64) if options.center else np.zeros(x.shape[1])
                first = np.zeros(x.shape[1])
            x -= shift.astype(np.float32)
            first += x.sum(axis=0, dtype=np.float64)
            second += float(np.einsum("ij,ij->i", x, x).sum(dtype=np.float64))
            if products is not None:
                products += _products(x, device)
        shift = shift.astype(np.float32).astype(np.float64)
        mean = shift + first / count if options.center else np.zeros_like(first)
        if products is not None:
            covariance = products / count - (
                np.outer(first / count, first / count) if options.center else 0.0
            )
            return cls(
                options.normalize,
                torch.from_numpy(mean.astype(np.float32)),
                *_along_axes(covariance, options),
            )
        spread = second - (float(first @ first) / count if options.center else 0.0)
        scale = float(np.sqrt(max(spread, 0.0) / count / len(first))) if options.scale else 1.0
        return cls(options.normalize, torch.from_numpy(mean.astype(np.float32)), scale or 1.0)

    def to(self, device: torch.device) -> Preprocessing:
        """Return the same on a device."""
        axes, whitening = (
            None if part is None else part.to(device) for part in (self.axes, self.whitening)
        )
        return Preprocessing(self.normalize, self.mean.to(device), self.scale, axes, whitening)

    @property
    def width(self) -> int:
        """Number W of dimensions of prepared vectors: D, or the principal axes that are kept."""
        return len(self.mean) if self.axes is None else self.axes.shape[1]

    def apply(self, x: Tensor) -> Tensor:
        """Prepare vectors: (m, D) float32 → (m, W) float32."""
        x = (unit_length(x) if self.normalize else x) - self.mean
        return x.div_(self.scale) if self.axes is None else _times(x, self._into)

    def undo(self, y: Tensor) -> Tensor:
        """Map back: (m, W) → (m, D), on axes cut off where the mean is.

        Unit vectors where vectors were brought to unit length.
        """
        x = (y * self.scale if self.axes is None else _times(y, self._back)) + self.mean
        return torch.nn.functional.normalize(x, dim=1) if self.normalize else x


@one_thread()  # with another number, some widths round differently
def _times(x: Tensor, axes: Tensor) -> Tensor:
    return x @ axes


def _products(x: np.ndarray, device: torch.device | None) -> np.ndarray:
    """Multiply all pairs of columns: (m, D) → (D, D)."""
    if device is None or device.type == "cpu":
        return x.T @ x
    there = torch.from_numpy(x).to(device)
    return (there.T @ there).cpu().numpy()


def unit_length(x: Tensor) -> Tensor:
    """Divide each row by its Euclidean norm.

    Raises:
        BadInput: A row is all zero: it has no direction.
    """
    norms = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if not torch.compiler.is_exporting() and bool((norms == 0).any()):
        raise BadInput(
            f"{int((norms == 0).sum())} vectors are zero and cannot be brought to unit length",
            where="tokenizer.preprocess.normalize",
            expected="vectors with a direction",
            do="take tokenizer.preprocess.normalize=false, or leave such vectors out",
        )
    return x / norms


def principal_axes(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances along the principal axes, largest first, and the axes as columns.

    (D, D) → (D,), (D, D), float64.

    Of an axis and its opposite, the one whose largest component is positive.
    """
    with one_thread():  # with another number, LAPACK rounds differently
        variances, axes = (
            found.flip(-1).numpy() for found in torch.linalg.eigh(torch.from_numpy(covariance))
        )
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return variances.clip(min=0.0), axes * np.where(largest < 0, -1.0, 1.0)


def _along_axes(covariance: np.ndarray, options: PreprocessOptions) -> tuple[float, Tensor, Tensor]:
    """Return scale, axes (D, W) and whitening (W,).

    The whitening of an axis is (its standard deviation / the root mean square of all those
    kept)^whiten; the scale is what the root mean square of a value is after it.
    """
    variances, axes = principal_axes(covariance)
    variances, axes = variances[: options.dimensions], axes[:, : options.dimensions]
    spreads = np.sqrt(np.maximum(variances, LEAST_SPREAD**2 * variances[0]))
    whitening = (
        (spreads / np.sqrt(variances.mean())) ** options.whiten
        if variances[0] > 0
        else np.ones_like(spreads)
    )
    scale = float(np.sqrt((variances / whitening**2).mean())) if options.scale else 1.0
    return scale or 1.0, torch.from_numpy(axes.astype(np.float32)), torch.from_numpy(whitening)


def _check_dimensions(dimensions: int | None, dim: int) -> None:
    if dimensions is not None and dimensions > dim:
        raise BadInput(
            f"{dimensions:,} dimensions of vectors that have {dim:,}",
            where="tokenizer.preprocess.dimensions",
            expected=f"null or an integer from 1 to {dim}",
            do=f"take tokenizer.preprocess.dimensions={dim} or less, or null to keep all",
        )
