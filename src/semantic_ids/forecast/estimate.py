"""What the stages that come will take: seconds and memory, and how to say it.

Seconds are those of small pieces of the work itself (`forecast.trial`), carried on to all items;
memory is counted from the arrays that a stage holds (`forecast.memory`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from semantic_ids.forecast.run import Run

STAGES = {
    "train": "train",
    "encode": "encode",
    "deduplicate": "de-duplicate",
    "evaluate": "evaluate",
}
"""Name → what the log calls it; those that an estimate is made of."""
LESS = {
    "train": "a smaller tokenizer.rq_kmeans.max_points_per_centroid",
    "encode": "fewer items (ingest.max_items)",
    "deduplicate": "fewer items (ingest.max_items)",
    "evaluate": "fewer evaluate.queries",
}
"""What makes a stage take less memory."""


@dataclass(frozen=True)
class Estimate:
    """Seconds and memory of the stages that come.

    Attributes:
        seconds: Name of the stage → seconds.
        held: Name of the stage → bytes that it holds beside what is in memory already.
        resident: Bytes in memory already.
        trial_seconds: How long it took to find out.
        at_most: Whether training may well stop earlier.
    """

    seconds: Mapping[str, float]
    held: Mapping[str, float]
    resident: int
    trial_seconds: float
    at_most: bool

    @property
    def total(self) -> float:
        """Seconds of all stages together."""
        return sum(self.seconds.values())

    @property
    def peak(self) -> float:
        """Largest memory of the process, in bytes."""
        return self.resident + max(self.held.values())

    def in_words(self) -> str:
        """Say it in a sentence."""
        stages = ", ".join(
            f"{STAGES[name]} {duration(seconds)}" for name, seconds in self.seconds.items()
        )
        return (
            f"estimate: {'at most ' if self.at_most else ''}about {duration(self.total)}"
            f" ({stages}), about {gigabytes(self.peak)} of memory at most"
        )

    def shortage(self, room: float) -> str:
        """Say that there is not memory enough, where it is so.

        `room`: bytes that the process may grow to.
        """
        if self.peak <= room:
            return ""
        largest = max(self.held, key=lambda name: self.held[name])
        return (
            f"That is more memory than there is: {gigabytes(room)} can be had."
            f" {STAGES[largest].capitalize()} takes most of it; it takes less with {LESS[largest]}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-like dict, for training_results.json."""
        return {
            "seconds": dict(self.seconds),
            "total_seconds": self.total,
            "bytes": {name: round(self.resident + held) for name, held in self.held.items()},
            "peak_bytes": round(self.peak),
            "at_most": self.at_most,
            "trial_seconds": self.trial_seconds,
        }


def estimate_cost(vectors: np.ndarray, run: Run) -> Estimate:
    """Estimate seconds and memory of the stages that come.

    Args:
        vectors: Shape (n, D), rows in the order of the item hash; the first few are worked on.
        run: What is about to run.

    Raises:
        BadInput: The run itself would be refused.
    """
    import time

    import torch

    from semantic_ids.forecast import memory
    from semantic_ids.forecast.trial import stage_seconds

    began, resident = time.perf_counter(), memory.resident()
    seconds = stage_seconds(vectors, run)
    held = memory.held(run, int(vectors.shape[1]), torch.get_num_threads())
    return Estimate(seconds, held, resident, time.perf_counter() - began, run.fewer_epochs)


def duration(seconds: float) -> str:
    """Write a duration as it is said: `0.4 s`, `35 s`, `1 min 30 s`, `12 min`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds < 0.95 else f"{seconds:.0f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 595:
        tens = round(seconds / 10)
        return f"{tens // 6} min" + (f" {tens % 6 * 10} s" if tens % 6 else "")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def gigabytes(size: float) -> str:
    """Write a number of bytes as gigabytes (10⁹ bytes) with two digits that count."""
    return f"{size / 1e9:.{0 if size >= 9.95e9 else 1}f} GB"
