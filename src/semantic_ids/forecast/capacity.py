"""The forecast of an ID space.

How full it will be, who will share codes, who finds no room, and sizes that would do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semantic_ids.codes import LARGEST_KEY, capacity, keys
from semantic_ids.occupancy import shared_rate, spilled_rate

ROOMY, FEW = 0.5, 0.01
"""Sizes would do if they leave half of the codes free and at most one item in a hundred without
room under its own prefix."""

MANY = 0.1
"""Share of items without room under their own prefix from which on the user is warned."""

LARGEST_CODEBOOK = 2**16
"""No larger last codebook is suggested."""


@dataclass(frozen=True)
class Choice:
    """Codebook sizes, and what they would mean for a catalogue.

    Attributes:
        codebook_sizes: Size of each level's codebook.
        items: Items of the catalogue.
        spilled_rate: Share of the items that would find no room under their own prefix; None where
            the pilot cannot tell.
    """

    codebook_sizes: tuple[int, ...]
    items: int
    spilled_rate: float | None

    @property
    def capacity(self) -> int:
        """Number of codes."""
        return capacity(self.codebook_sizes)

    @property
    def bits(self) -> float:
        """Bits of an ID: log₂ of the number of codes."""
        return math.log2(self.capacity)

    @property
    def fill(self) -> float:
        """Items a code."""
        return self.items / self.capacity

    @property
    def would_do(self) -> bool:
        """Whether there is room enough, in all and under the prefixes."""
        return self.fill <= ROOMY and self.spilled_rate is not None and self.spilled_rate <= FEW

    @property
    def name(self) -> str:
        """The sizes as the command line takes them."""
        return "x".join(map(str, self.codebook_sizes))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like dict."""
        return {
            "codebook_sizes": list(self.codebook_sizes),
            "bits": self.bits,
            "fill": self.fill,
            "spilled_rate": self.spilled_rate,
        }

    def __str__(self) -> str:
        return f"{self.name} ({self.bits:.3g} bits, {percent(self.fill)} full)"


@dataclass(frozen=True)
class Forecast:
    """What to expect of an ID space.

    Attributes:
        chosen: The sizes in question.
        collision_rate: Share of the items that will share their codes before de-duplication.
        pilot_items: Items of the pilot.
        pilot_sizes: Codebook sizes of the pilot, smaller than those in question where it has too
            few items for them.
        suggestions: Sizes that would do; those in question first, if they would.
    """

    chosen: Choice
    collision_rate: float
    pilot_items: int
    pilot_sizes: tuple[int, ...]
    suggestions: tuple[Choice, ...]

    def is_tight(self, *, unique: bool) -> bool:
        """Whether to warn: the ID space is more than half full, or many items find no room under
        their own prefix.

        Args:
            unique: Whether every item is to have codes of its own (strategy `reassign`); only then
                do items leave their prefix.
        """
        return self.chosen.fill > ROOMY or (unique and (self.chosen.spilled_rate or 0.0) > MANY)

    def in_words(self, *, unique: bool) -> str:
        """Say it in a few sentences. For `unique` see `is_tight`."""
        room = (
            f", and {percent(self.chosen.spilled_rate or 0.0)} will find no room under their own"
            " prefix"
            if unique
            else ""
        )
        said = [
            (
                f"ID space: {self.chosen.name} makes {self.chosen.capacity:,} codes for"
                f" {self.chosen.items:,} items ({percent(self.chosen.fill)} full)."
            ),
            (
                f"By a pilot of {self.pilot_items:,} items, about {percent(self.collision_rate)} of"
                f" the items will share their codes before de-duplication{room}."
            ),
        ]
        if any(
            2 * tried < size
            for tried, size in zip(self.pilot_sizes, self.chosen.codebook_sizes, strict=True)
        ):
            tried = "x".join(map(str, self.pilot_sizes))
            said.append(
                f"It is too small for such codebooks and tried {tried}, so this is a rougher guess."
            )
        return " ".join([*said, *self._advice(unique)])

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like dict, for training_results.json."""
        return {
            "items": self.chosen.items,
            "capacity": self.chosen.capacity,
            "bits": self.chosen.bits,
            "fill": self.chosen.fill,
            "collision_rate": self.collision_rate,
            "spilled_rate": self.chosen.spilled_rate,
            "sizes_that_would_do": [choice.to_json() for choice in self.suggestions],
            "pilot": {"items": self.pilot_items, "codebook_sizes": list(self.pilot_sizes)},
        }

    def _advice(self, unique: bool) -> list[str]:
        listed = " or ".join(map(str, self.suggestions))
        if not (unique or self.is_tight(unique=unique)):
            return []
        if not all(choice.would_do for choice in self.suggestions):
            return [
                f"No sizes would give nearly all items room under their own prefix; {listed} would"
                " have codes enough."
            ]
        if self.is_tight(unique=unique):
            return [f"There is more room with tokenizer.codebook_sizes={listed}."]
        return [f"Sizes that would do: {listed}."]


def forecast(
    codes: np.ndarray, pilot_sizes: Sequence[int], codebook_sizes: Sequence[int], items: int
) -> Forecast:
    """Forecast the ID space of a catalogue from the codes of a sample of it.

    Args:
        codes: Shape (s, L), the sample's codes; s at most `items`.
        pilot_sizes: The L sizes of the codebooks that these codes are of.
        codebook_sizes: The L sizes in question, at least those of the pilot.
        items: Items of the catalogue.
    """
    pilot = _Pilot(codes, tuple(pilot_sizes), tuple(codebook_sizes), items)
    sizes, levels = pilot.sizes, len(codebook_sizes)
    chosen = Choice(sizes, items, pilot.spilled_rate(levels - 1, sizes[-1]))
    return Forecast(
        chosen, pilot.collision_rate(), len(codes), pilot.tried, suggestions(pilot, chosen)
    )


@dataclass(frozen=True)
class _Pilot:
    """A sample's codes, and the catalogue that it is of."""

    codes: np.ndarray
    tried: tuple[int, ...]
    sizes: tuple[int, ...]
    items: int

    def counts(self, levels: int) -> np.ndarray:
        """Items of each prefix of so many levels that has any: shape (g,)."""
        return np.unique(keys(self.codes[:, :levels], self.tried), return_counts=True)[1]

    def items_for(self, levels: int) -> float:
        """Items that crowd the pilot's cells as all items will crowd the cells in question.

        r times as many cells separate items only as √r times as many would, were items spread
        evenly: on Amazon Beauty and on WordNet, codebooks of half and a quarter of the size
        foretold the collisions of the full size best that way.
        """
        return max(
            1.0,
            self.items / math.sqrt(capacity(self.sizes[:levels]) / capacity(self.tried[:levels])),
        )

    def collision_rate(self) -> float:
        """Share of the items that will share their codes.

        Beyond the sample at least that of evenly used codes.
        """
        levels, codes = len(self.sizes), capacity(self.sizes)
        expected = shared_rate(self.counts(levels), self.items_for(levels))
        if self.items == len(self.codes) and self.tried == self.sizes:
            return expected
        return max(
            expected,
            (
                -math.expm1((self.items - 1) * math.log1p(-1 / codes))
                if codes > 1
                else float(self.items > 1)
            ),
        )

    def spilled_rate(self, levels: int, room: int) -> float:
        """Share of the items that will find no room under their own prefix of so many levels."""
        return spilled_rate(
            self.counts(levels), float(capacity(self.tried[:levels])), self.items_for(levels), room
        )


def suggestions(pilot: _Pilot, chosen: Choice) -> tuple[Choice, ...]:
    """Return sizes that would do, at least one.

    Those in question if they do, and how small the last codebook may be; otherwise how large it has
    to be, and the smallest level to put on top. If neither is enough, as where one vector comes
    many thousand times, sizes that have codes enough.
    """
    levels = len(pilot.sizes)
    last, added = (
        _smallest(pilot, levels - 1),
        (None if chosen.would_do else _smallest(pilot, levels)),
    )
    if chosen.would_do:
        return (chosen, last) if last and last.capacity < chosen.capacity else (chosen,)
    return tuple(choice for choice in (last, added) if choice) or (_with_codes_enough(chosen),)


def _smallest(pilot: _Pilot, levels: int) -> Choice | None:
    """Return the first so many levels and the smallest codebook, a power of two, that would do as
    the last one after them.
    """
    size = 2
    while size <= min(LARGEST_CODEBOOK, pilot.items):
        sizes = (*pilot.sizes[:levels], size)
        if capacity(sizes) > LARGEST_KEY:
            return None
        roomy = pilot.items <= ROOMY * capacity(sizes)
        choice = Choice(sizes, pilot.items, pilot.spilled_rate(levels, size) if roomy else None)
        if choice.would_do:
            return choice
        size *= 2
    return None


def _with_codes_enough(chosen: Choice) -> Choice:
    """Repeat the last level until half of the codes are free."""
    sizes = chosen.codebook_sizes
    while chosen.items > ROOMY * capacity(sizes):
        sizes = (*sizes, max(2, sizes[-1]))
    return chosen if sizes == chosen.codebook_sizes else Choice(sizes, chosen.items, None)


def percent(share: float) -> str:
    """Write a share with two digits that count: `24 %`, `0.7 %`.

    `less than 0.01 %` where it is so.
    """
    if 1e-9 < share < 1e-4:
        return "less than 0.01 %"
    return f"{100 * share:.{0 if share <= 1e-9 or share >= 0.1 else 1 if share >= 0.01 else 2}f} %"
