"""The figures of a run, as matplotlib figures.

They are made as objects, without pyplot: nothing is shown, and nothing stays in memory behind one's
back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from semantic_ids.history import UNITS
from semantic_ids.reporting.canvas import BLUE, GREEN, GREY, ORANGE, RED, new_figure, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from semantic_ids.history import History

SPLITS = ("validation", "watched")
"""What names of numbers begin with that are not of the items fitted on."""
TRAINING = "training"
SPEED = ("seconds", "items_per_second")
"""Columns about the machine rather than the training: not drawn."""
LOG_FROM = 30.0
"""An axis is logarithmic where the largest value is this many times the smallest (or the mean,
where there are zeros)."""


def training_curves(history: History) -> Figure:
    """Draw every number that the fit recorded, against its steps.

    A panel each, a line a level where there are levels; a dotted line where a phase begins.

    Args:
        history: `usage.1`, `usage.2` … are one panel, and so are `reconstruction` and
            `validation_reconstruction`.
    """
    curves = _curves(history)
    figure, panels = new_figure("Training", max(1, len(curves)))
    for panel, (name, lines) in zip(panels, curves.items(), strict=False):
        for label, (steps, values) in lines.items():
            marker = "." if len(steps) < 40 else None
            panel.plot(steps, values, marker=marker, linewidth=1.5, label=label)
        title, unit = name.replace("_", " "), UNITS.get(name, "")
        panel.set(title=title, xlabel="step", ylabel=unit)
        panel.locator_params(axis="x", integer=True)
        _maybe_log(panel, np.concatenate([values for _, values in lines.values()]))
        _mark_phases(panel, history, [step for steps, _ in lines.values() for step in steps])
        if set(lines) != {TRAINING}:
            panel.legend(frameon=False, fontsize="small")
    if not curves:
        panels[0].set(title="nothing was recorded")
    return figure


def _mark_phases(panel: Axes, history: History, steps: Sequence[int]) -> None:
    """Write where each phase begins that begins after the first step drawn."""
    for phase, first in history.phases().items():
        if min(steps) < first <= max(steps):
            panel.axvline(first - 0.5, color=GREY, linestyle=":", linewidth=1.0)
            panel.annotate(
                phase,
                (first - 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                xytext=(2, -8),
                fontsize=7,
                color=GREY,
            )


def codebook_usage(code_counts: Sequence[Sequence[int]]) -> Figure:
    """Draw how many items use each code, most used first: a panel a level.

    Args:
        code_counts: Items of each code, a list a level.
    """
    figure, panels = new_figure("Use of the codebooks, over the whole catalogue", len(code_counts))
    for level, (panel, counts) in enumerate(zip(panels, code_counts, strict=True), start=1):
        uses = np.sort(np.asarray(counts))[::-1]
        panel.stairs(uses, np.arange(len(uses) + 1), fill=True, color=BLUE, alpha=0.75)
        panel.axhline(
            uses.mean(),
            color=RED,
            linestyle="--",
            linewidth=1.2,
            label=f"even use: {uses.mean():,.1f}",
        )
        panel.set(
            title=f"level {level}: {(uses == 0).sum():,} of {len(uses):,} dead",
            xlabel="codes, most used first",
            ylabel="items",
        )
        panel.set_xlim(0, len(uses))
        if uses.max() > LOG_FROM * uses.mean():
            panel.set(yscale="log", ylim=(0.5, uses.max() * 3))
        else:
            panel.set_ylim(0, max(1, uses.max()) * 1.15)
            thousands(panel)
        panel.legend(frameon=False, loc="upper right")
    return figure


def collision_groups(groups: Mapping[str, int]) -> Figure:
    """Draw how many groups of items with equal codes there are of each size, before de-duplication.

    Args:
        groups: Size of a group → number of such groups; size 1 is an item alone.
    """
    figure, (panel,) = new_figure("Items that share their codes, before de-duplication", 1)
    labels, numbers = _bin_sizes(groups)
    bars = panel.bar(labels, numbers, color=[GREEN if label == "1" else BLUE for label in labels])
    panel.bar_label(bars, [f"{number:,}" if number else "" for number in numbers], padding=2)
    panel.set(
        xlabel="items with the same codes (1: alone)",
        ylabel="groups",
        yscale="log",
        ylim=(0.5, max(1, *numbers) * 4),
    )
    panel.set_xlim(-0.7, max(5, len(labels)) - 0.3)
    if len(labels) > 9:
        panel.tick_params(axis="x", labelrotation=30)
    return figure


def reconstruction_cosine(counts: Sequence[int], mean: float) -> Figure:
    """Draw the histogram of the cosine between the vectors and what their codes decode to.

    Args:
        counts: Items in each of equal bins from −1 to 1.
        mean: Mean cosine.
    """
    figure, (panel,) = new_figure("Cosine of vector and decoded vector", 1)
    items, edges = np.asarray(counts), np.linspace(-1, 1, len(counts) + 1)
    full = np.flatnonzero(items)
    low, high = (full[0], full[-1] + 1) if len(full) else (0, len(items))
    panel.stairs(items[low:high], edges[low : high + 1], fill=True, color=BLUE, alpha=0.75)
    panel.axvline(mean, color=RED, linestyle="--", linewidth=1.5, label=f"mean: {mean:.4f}")
    panel.set(xlabel="cosine (1: the direction is kept)", ylabel="items")
    thousands(panel)
    panel.legend(frameon=False, loc="upper left")
    return figure


def prefix_cohesion(cohesion: Mapping[str, float]) -> Figure:
    """Draw how alike items are that share a prefix.

    Args:
        cohesion: Length of the prefix → mean cosine of the pairs that share it; `0` is all pairs.
    """
    figure, (panel,) = new_figure("Items that share a prefix: how alike they are", 1)
    lengths = sorted(int(p) for p in cohesion if p != "0")
    means = [cohesion[str(p)] for p in lengths]
    panel.plot(
        lengths, means, color=BLUE, marker="o", linewidth=2, label="pairs that share the prefix"
    )
    for length, mean in zip(lengths, means, strict=True):
        panel.annotate(
            f"{mean:.3f}", (length, mean), textcoords="offset points", xytext=(0, 8), ha="center"
        )
    if "0" in cohesion:
        panel.axhline(
            cohesion["0"],
            color=RED,
            linestyle="--",
            linewidth=1.5,
            label=f"random pairs: {cohesion['0']:.3f}",
        )
    panel.set(xlabel="length of the shared prefix (codes)", ylabel="mean cosine", xticks=lengths)
    panel.margins(x=0.15, y=0.2)
    panel.legend(frameon=False, loc="best")
    return figure


def churn(found: Mapping[str, float]) -> Figure:
    """Draw which share of the items that two generations have keeps its codes.

    Levels and prefixes, as they are called and after the best renaming of each level; the adjusted
    Rand index beside the levels.

    Args:
        found: The numbers of `churn.json`.
    """
    moved, kept = found.get("churn.moved_rate"), int(found["churn.items.kept"])
    title = "No item is in both generations"
    if moved is not None:
        title = f"{kept:,} items are in both generations: {moved:.2%} of them have another ID"
    figure, panels = new_figure(title, 2)
    for panel, name, label in zip(panels, ("level", "prefix"), ("level", "length"), strict=True):
        _stays(panel, found, name)
        panel.set(
            title=f"the same {'code' if name == 'level' else 'prefix'}",
            xlabel=label,
            ylabel="share of the items",
            ylim=(0, 1.3),
            yticks=[0, 0.2, 0.4, 0.6, 0.8, 1],
        )
        panel.locator_params(axis="x", integer=True)
        if moved is not None:
            panel.legend(frameon=False, loc="upper right", ncols=3, fontsize="small")
    return figure


def _stays(panel: Axes, found: Mapping[str, float], name: str) -> None:
    """Draw one kind of share: as it is, after the best renaming, and blind to names."""
    groups = [
        (f"churn.{name}.", "as named", BLUE),
        (f"churn.aligned.{name}.", "renamed", ORANGE),
        (f"churn.ari.{name.removeprefix('level')}", "adjusted Rand", GREEN),
    ]
    width = 0.27
    for place, (group, label, colour) in enumerate(groups):
        of = {
            int(key.removeprefix(group)): value
            for key, value in found.items()
            if key.removeprefix(group).isdecimal()
        }
        if of:
            at = [number + (place - 1) * width for number in of]
            bars = panel.bar(at, list(of.values()), width, color=colour, alpha=0.8, label=label)
            panel.bar_label(bars, [f"{v:.3g}" for v in of.values()], padding=2, fontsize=7)


def _curves(history: History) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Sort the numbers into panels and lines: name → label → (steps, values)."""
    curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for column in history.names:
        steps, values = (np.asarray(part, dtype=np.float64) for part in history.series(column))
        split = next((s for s in SPLITS if column.startswith(f"{s}_")), None)
        name, _, level = column.removeprefix(f"{split}_").partition(".")
        if column not in SPEED and np.isfinite(values).any():
            label = f"level {level}" if level else split or TRAINING
            curves.setdefault(name, {})[label] = (steps, values)
    return curves


def _maybe_log(panel: Axes, values: np.ndarray) -> None:
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > LOG_FROM * values.min():
        panel.set_yscale("log")


def _bin_sizes(groups: Mapping[str, int]) -> tuple[list[str], list[int]]:
    """Gather the sizes of groups in bins that double: 1, 2, 3–4, 5–8 and so on."""
    bins: dict[int, int] = {}
    for size, number in groups.items():
        bins[(int(size) - 1).bit_length()] = bins.get((int(size) - 1).bit_length(), 0) + number
    powers = range(max(bins, default=0) + 1)
    labels = [str(2**p) if p < 2 else f"{2 ** (p - 1) + 1:,}–{2**p:,}" for p in powers]
    return labels, [bins.get(p, 0) for p in powers]
