"""What is asked of a measurement, and what comes out.

Plain data that travels between processes as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.systems import System

Status = Literal["measured", "skipped", "failed", "stopped"]


@dataclass(frozen=True)
class Task:
    """What to measure.

    Attributes:
        data: Name of the data set.
        folder: Where it was ingested.
        system: Name of the system.
        codebook_sizes: Size of each level's codebook.
        seed: Seed of the fit.
        held_out: Whether to fit a second time without the held-out items.
        quick: Fewer rounds, and nothing is repeated.
    """

    data: str
    folder: str
    system: str
    codebook_sizes: tuple[int, ...]
    seed: int
    held_out: bool = True
    quick: bool = False


@dataclass(frozen=True)
class Row:
    """What came out. Numbers are None where they were not measured.

    Attributes:
        data, system, title, ours, version, settings: What was measured.
        status, reason: Whether it was; if not, why.
        items, dim: Size of the data set.
        relative_mse, relative_mse_unique: Fitted on all items, over all items: of the codes, and of
        the unique IDs made of them. added_distortion: What the unique IDs added, as a ratio.
        relative_mse_fitted, relative_mse_held_out: Of the second fit, over the items it was fitted
        on and over those it was not. distinct: Distinct codes / items.
        recall, cohesion_1, cohesion_2: See docs/metrics.md; of the first fit.
        fit_seconds, encode_seconds, items_per_second: Of the first fit, all items.
        epoch_seconds: Of those that train an autoencoder: fit_seconds / epochs, the start of the
            codebooks included.
        network: Whether it is one of those.
        fits: How many fits the median is of.
        peak_mb: Peak memory of the process when all items were encoded, libraries included.
    """

    data: str
    system: str
    title: str
    ours: bool
    version: str
    settings: dict[str, Any]
    status: Status
    reason: str = ""
    items: int | None = None
    dim: int | None = None
    relative_mse: float | None = None
    relative_mse_unique: float | None = None
    added_distortion: float | None = None
    relative_mse_fitted: float | None = None
    relative_mse_held_out: float | None = None
    distinct: float | None = None
    recall: float | None = None
    cohesion_1: float | None = None
    cohesion_2: float | None = None
    fit_seconds: float | None = None
    encode_seconds: float | None = None
    items_per_second: float | None = None
    epoch_seconds: float | None = None
    network: bool = False
    fits: int | None = None
    peak_mb: float | None = None


def blank(task: Task, system: System, status: Status, reason: str = "") -> Row:
    """Return a row without numbers."""
    return Row(
        task.data,
        system.name,
        system.title,
        system.ours,
        system.version,
        system.settings,
        status,
        reason,
        network=system.network,
    )
