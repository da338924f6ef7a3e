"""How much of the vectors is left in the codes.

`relative_mse` is Σ‖x − x̂‖² / Σ‖x − mean‖², the share of the variance that is lost. Where the
tokenizer scales vectors to unit length, x is scaled too: norms are not in the codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from semantic_ids.arrays import chunks, in_threads, read_rows
from semantic_ids.contract import Tokenizer
from semantic_ids.metrics.rows import ROWS, cosines, dots, ratio, unit
from semantic_ids.progress import Progress


class Spread:
    """Σ‖x − mean‖² of the vectors added, in one pass.

    The sums are of differences from a point near the mean, so that a large common offset does no
    harm (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American
    Statistician 37(3), 1983).

    Args:
        near: Shape (D,): a point near the mean.
    """

    def __init__(self, near: np.ndarray) -> None:
        self._near, self._first, self._second, self.count = near, np.zeros_like(near), 0.0, 0

    @classmethod
    def of(cls, x: np.ndarray, near: np.ndarray) -> Spread:
        """Return the spread of some vectors: (m, D) float64."""
        spread = cls(near)
        spread.add(x)
        return spread

    def add(self, x: np.ndarray) -> None:
        """Take in more vectors: (m, D) float64."""
        x = x - self._near
        self._first += x.sum(axis=0)
        self._second += float(dots(x, x).sum())
        self.count += len(x)

    def include(self, other: Spread) -> None:
        """Take in the vectors of another one, of differences from the same point."""
        self._first = self._first + other._first
        self._second += other._second
        self.count += other.count

    @property
    def total(self) -> float:
        """Σ‖x − mean‖², the mean being that of the vectors added."""
        return (
            max(0.0, self._second - float(self._first @ self._first) / self.count)
            if self.count
            else 0.0
        )


@dataclass(frozen=True)
class Reconstruction:
    """What one pass over the items found.

    Attributes:
        space: `unit` where vectors were brought to unit length, `input` otherwise.
        error: Shape (n,): ‖x − x̂‖² with x̂ decoded from the codes.
        error_unique: Shape (n,): the same with x̂ decoded from the unique IDs.
        cosine: Shape (n,): cosine of x and x̂, 0 where one of them is zero.
        fitted: Shape (n,), bool: items the tokenizer learned from.
        held_out: Shape (n,), bool: items that were not given to it.
        spread: Of all items.
        spread_fitted: Of the items it learned from.
        spread_held_out: Of the items held out.
    """

    space: str
    error: np.ndarray
    error_unique: np.ndarray
    cosine: np.ndarray
    fitted: np.ndarray
    held_out: np.ndarray
    spread: Spread
    spread_fitted: Spread
    spread_held_out: Spread

    def metrics(self) -> dict[str, float | str]:
        """Return the metrics of the room.

        That of the validation items only where there are some.
        """
        metrics: dict[str, float | str] = {
            "reconstruction.space": self.space,
            "reconstruction.relative_mse": ratio(float(self.error.sum()), self.spread.total),
            "reconstruction.relative_mse_fitted": ratio(
                float(self.error[self.fitted].sum()), self.spread_fitted.total
            ),
            "reconstruction.relative_mse_unique": ratio(
                float(self.error_unique.sum()), self.spread.total
            ),
            "reconstruction.cosine": float(self.cosine.mean()),
        }
        if self.held_out.any():
            metrics["reconstruction.relative_mse_validation"] = ratio(
                float(self.error[self.held_out].sum()), self.spread_held_out.total
            )
        return metrics

    @property
    def added_distortion(self) -> float:
        """What de-duplication added, as a ratio to the distortion before it."""
        return added(float(self.error.sum()), float(self.error_unique.sum()))


def added(before: float, after: float) -> float:
    """Return after / before − 1, and 0 where nothing was distorted before or after."""
    return 0.0 if before == after else ratio(after, before) - 1.0


def reconstruct(
    vectors: np.ndarray,
    tokenizer: Tokenizer,
    codes: np.ndarray,
    unique: np.ndarray,
    fitted: np.ndarray,
    held_out: np.ndarray,
) -> Reconstruction:
    """Decode every item and compare it with its vector, in one pass.

    Args:
        vectors: Shape (n, D).
        tokenizer: Made the codes.
        codes: Shape (n, L).
        unique: Shape (n, L): codes after de-duplication, without suffix.
        fitted: Shape (n,), bool: items the tokenizer learned from.
        held_out: Shape (n,), bool: items that were not given to it, none of them among the fitted.
    """
    n = len(vectors)
    error, error_unique, cosine = np.empty(n), np.empty(n), np.empty(n)
    near = read(vectors, slice(0, ROWS), tokenizer).mean(axis=0)
    spread, spread_fitted, spread_held_out = Spread(near), Spread(near), Spread(near)

    def compare(piece: _Decoded) -> tuple[int, Spread, Spread, Spread]:
        rows, moved = piece.rows, piece.moved
        x, decoded = read(vectors, rows, tokenizer), piece.vectors.astype(np.float64)
        error[rows] = error_unique[rows] = squared_errors(x, decoded)
        error_unique[moved] = squared_errors(x[moved - rows.start], piece.vectors_unique)
        cosine[rows] = cosines(x, decoded)
        of_all = Spread.of(x, near)
        of_fitted, of_held_out = (
            of_all if some[rows].all() else Spread.of(x[some[rows]], near)
            for some in (fitted, held_out)
        )
        return len(x), of_all, of_fitted, of_held_out

    with Progress("evaluate: reconstruction", total=n) as progress:
        pieces = _decoded(tokenizer, codes, unique)
        for done, of_all, of_fitted, of_held_out in in_threads(compare, pieces):
            spread.include(of_all)
            spread_fitted.include(of_fitted)
            spread_held_out.include(of_held_out)
            progress.advance(done)
    return Reconstruction(
        "unit" if tokenizer.normalizes else "input",
        error,
        error_unique,
        cosine,
        fitted,
        held_out,
        spread,
        spread_fitted,
        spread_held_out,
    )


@dataclass(frozen=True)
class _Decoded:
    """Some rows, decoded from the codes.

    And those among them whose unique codes are others, decoded from these.
    """

    rows: slice
    vectors: np.ndarray
    moved: np.ndarray
    vectors_unique: np.ndarray


def _decoded(tokenizer: Tokenizer, codes: np.ndarray, unique: np.ndarray) -> Iterator[_Decoded]:
    """Decode all items, a chunk at a time; yield `ROWS` at a time."""
    changed = (codes != unique).any(axis=1)
    for part in chunks(len(codes)):
        moved = part.start + np.flatnonzero(changed[part])
        vectors, vectors_unique = tokenizer.decode(codes[part]), tokenizer.decode(unique[moved])
        for piece in chunks(len(vectors), ROWS):
            rows = slice(part.start + piece.start, part.start + piece.stop)
            among = slice(*np.searchsorted(moved, (rows.start, rows.stop)))
            yield _Decoded(rows, vectors[piece], moved[among], vectors_unique[among])


def relative_mse(vectors: np.ndarray, tokenizer: Tokenizer, rows: np.ndarray) -> float:
    """Encode, decode and compare some items.

    Σ‖x − x̂‖² / Σ‖x − mean‖² over them, the mean being theirs.

    Args:
        vectors: Shape (n, D).
        tokenizer: Any, whatever it was fitted on.
        rows: Row numbers, at least one.
    """
    error, spread = 0.0, Spread(read(vectors, rows[:ROWS], tokenizer).mean(axis=0))
    for part in chunks(len(rows), ROWS):
        x = read(vectors, rows[part], tokenizer)
        decoded = tokenizer.decode(tokenizer.encode(read_rows(vectors, rows[part])))
        error += float(squared_errors(x, decoded).sum())
        spread.add(x)
    return ratio(error, spread.total)


def read(vectors: np.ndarray, rows: slice | np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Read vectors as float64, in the space that the tokenizer decodes to: (m, D)."""
    x = read_rows(vectors, rows, np.float64)
    return unit(x) if tokenizer.normalizes else x


def squared_errors(x: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Return ‖x − x̂‖² of each row: (m, D), (m, D) → (m,) float64."""
    difference = x - decoded
    return dots(difference, difference)
