"""What codes cost vectors on the device: for codebooks that are still being fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semantic_ids.compute.threads import each_chunk, pad_rows
from semantic_ids.quantization.residual import ResidualQuantizer


@dataclass(frozen=True)
class OnDemand:
    """Vectors that are computed each time they are asked for, where they are too many to be held.

    Attributes:
        at: Returns those of some rows, on the device: (m,) row numbers in any order → (m, d). It
            may be called in several threads at a time, without gradients.
        width: Width d.
        device: The device.
    """

    at: Callable[[np.ndarray], Tensor]
    width: int
    device: torch.device

    @classmethod
    def of(cls, z: Tensor) -> OnDemand:
        """Take them from a tensor (n, d)."""

        def at(rows: np.ndarray) -> Tensor:
            return z[torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(z.device)]

        return cls(at, z.shape[1], z.device)


class TensorCosts:
    """A `contract.CostOracle` over vectors that stay where they are, or that are made on demand.

    Only row numbers, codes and costs go to the device and back. The numbers are those of a
    tokenizer with these codebooks and vectors as its latent ones: it works on as many rows at a
    time.

    Args:
        z: Shape (n, d), or what makes the vectors of some rows.
        quantizer: The codebooks, on the same device.
        hashes: Shape (n,), uint64: `hashing.vector_hash` of the items' stored vectors.
    """

    def __init__(
        self, z: Tensor | OnDemand, quantizer: ResidualQuantizer, hashes: np.ndarray
    ) -> None:
        self.vectors = OnDemand.of(z) if isinstance(z, Tensor) else z
        self.quantizer, self.hashes = quantizer, hashes
        self.sizes = tuple(quantizer.sizes)

    def level_costs(self, rows: np.ndarray, prefixes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        costs = np.empty((len(rows), self.sizes[-1]), dtype=np.float32)
        self._each(
            lambda z, part: [self.quantizer.last_level_costs(z, self._codes(prefixes[part]))],
            rows,
            costs,
        )
        return costs

    def candidates(
        self, rows: np.ndarray, t: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `CostOracle`."""
        codes = np.empty((len(rows), t, len(self.sizes)), dtype=np.int32)
        costs = np.empty((len(rows), t), dtype=np.float32)
        keys = torch.from_numpy(np.ascontiguousarray(excluded, dtype=np.int64)).to(
            self.vectors.device
        )
        table = self.quantizer.excluded_table(keys)
        # without the rows that were filled up: a wide search takes longer for each
        self._each(
            lambda z, part: self.quantizer.best_codes(z[: part.stop - part.start], t, True, table),
            rows,
            codes,
            costs,
        )
        return codes, costs

    def distortion(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        errors = np.empty(len(rows), dtype=np.float32)
        self._each(
            lambda z, part: [self.quantizer.errors(z, self._codes(codes[part]))], rows, errors
        )
        return errors

    def likeness(self, rows: np.ndarray) -> np.ndarray:
        """See `CostOracle`."""
        return self.hashes[rows]

    def _codes(self, codes: np.ndarray) -> Tensor:
        return pad_rows(torch.from_numpy(codes.astype(np.int64))).to(self.vectors.device)

    def _each(
        self,
        work: Callable[[Tensor, slice], Sequence[Tensor]],
        rows: np.ndarray,
        *outputs: np.ndarray,
    ) -> None:
        """Fill the rows of each output with what the work makes of the vectors of some rows."""

        def chunk(part: slice) -> None:
            results = work(pad_rows(self.vectors.at(rows[part])), part)
            for output, result in zip(outputs, results, strict=True):
                output[part] = result[: part.stop - part.start].cpu().numpy()

        width = max(self.vectors.width, sum(self.sizes))
        each_chunk(chunk, len(rows), self.vectors.device, width)
