"""The results of a fit, step by step: one record for whoever writes, stores, tracks or draws it.

    history = History()
    history.add("start", {"relative_mse": 0.9})
    history.add("anneal", {"relative_mse": 0.8})
    history.series("relative_mse")          # ([1, 2], [0.9, 0.8])

Steps count up over the whole fit, through all of its phases, so that they are the x axis
everywhere: of a file's rows, of MLflow's points and of a figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, overload

Phase = Literal["start", "plain", "train", "anneal", "refine", "balance", "unique", "refresh"]
"""Codebooks started level by level; epochs without a quantiser; epochs with one; rounds of
annealing, of refinement, of prices; rounds or epochs with the codes of unique IDs;
rounds that move codebooks for IDs that are out."""

UNITS = {
    "relative_mse": "share of the variance",
    "relative_mse_unique": "share of the variance",
    "fullest": "multiple of the mean",
    "reseeded": "codes",
    "resets": "codes",
    "dead": "codes",
    "usage": "share of the codes",
    "collision_rate": "share of the items",
    "unique_rate": "distinct codes / items",
    "seconds": "s",
    "items_per_second": "items/s",
}
"""What numbers are counted in, by the name before the first dot; the others have no unit."""


@dataclass(frozen=True)
class Record(Mapping[str, Any]):
    """One step: a mapping of `step`, `phase` and its numbers.

    Attributes:
        step: Which step of the whole fit it is: a round or an epoch.
        phase: Which part of the fit it belongs to.
        numbers: Dotted name → number; a level or split comes last or first, as in `usage.1`.
    """

    step: int
    phase: str
    numbers: Mapping[str, float]

    def __post_init__(self) -> None:
        if self.phase not in get_args(Phase):
            raise ValueError(f"'{self.phase}' is no phase of a fit: {get_args(Phase)}")
        wrong = [n for n, v in self.numbers.items() if isinstance(v, bool | str) or v is None]
        if wrong or {"step", "phase"} & set(self.numbers):
            raise ValueError(f"no numbers to record: {wrong or list(self.numbers)}")

    def __getitem__(self, name: str) -> Any:
        own = {"step": self.step, "phase": self.phase}
        return own[name] if name in own else self.numbers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("step", "phase", *self.numbers))

    def __len__(self) -> int:
        return 2 + len(self.numbers)


class History(Sequence[Record]):
    """The records of a fit, their steps ascending.

    Args:
        records: Mappings of `step`, `phase` and numbers, as `rows` gives them; what is None is
            left out.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self._records: list[Record] = []
        for row in records:
            values = {n: v for n, v in row.items() if n not in ("step", "phase") and v is not None}
            self.add(row["phase"], values, row["step"])

    def add(self, phase: str, values: Mapping[str, float], step: int | None = None) -> Record:
        """Record a step, the next one if no number is given.

        Raises:
            ValueError: A step that does not come after the last one, or what is no number: a defect
                of ours.
        """
        last = self._records[-1].step if self._records else None
        step = (1 if last is None else last + 1) if step is None else step
        if last is not None and step <= last:
            raise ValueError(f"step {step} does not come after step {last}")
        self._records.append(Record(step, phase, dict(values)))
        return self._records[-1]

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    @property
    def names(self) -> list[str]:
        """The names of all numbers, in the order in which they first appear."""
        return list(dict.fromkeys(name for record in self._records for name in record.numbers))

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Return the steps that have a number, and the numbers."""
        found = [record for record in self._records if name in record.numbers]
        return [record.step for record in found], [record.numbers[name] for record in found]

    def phases(self) -> dict[str, int]:
        """Return phase → its first step."""
        found: dict[str, int] = {}
        for record in self._records:
            found.setdefault(record.phase, record.step)
        return found

    def rows(self) -> list[dict[str, Any]]:
        """Return a row a step, each with all columns, None where a step has no such number."""
        names = ["step", "phase", *self.names]
        return [{name: record.get(name) for name in names} for record in self._records]
