"""What recommendations are worth, as figures; drawn from `recommend_metrics.json` alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from semantic_ids.reporting.canvas import BLUE, COLOURS, GREY, ORANGE, new_figure, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metrics = Mapping[str, Any]

RECOMMENDER = "recommender"
"""What figures call the recommender itself, whose metrics have no other name before them."""
KINDS = {"recall": "Recall", "ndcg": "NDCG"}
_SYSTEM = re.compile(r"recommend\.(baseline|control)\.([^.]+)\.recall_at_")


def systems(metrics: Metrics) -> dict[str, str]:
    """Return what was measured → what its metrics begin with: the recommender comes first."""
    found = {RECOMMENDER: "recommend."}
    for name in metrics:
        if match := _SYSTEM.match(name):
            label = f"on {match[2]} IDs" if match[1] == "control" else match[2]
            found[label.replace("_", " ")] = f"recommend.{match[1]}.{match[2]}."
    return found


def by_k(metrics: Metrics, prefix: str, kind: str) -> dict[int, float]:
    """Return k → value of the metrics `<prefix><kind>_at_<k>`, k ascending."""
    named = re.compile(re.escape(f"{prefix}{kind}_at_") + r"(\d+)")
    found = {int(m[1]): metrics[m[0]] for name in metrics if (m := named.fullmatch(name))}
    return dict(sorted(found.items()))


def recall_by_k(metrics: Metrics) -> Figure:
    """Draw Recall and NDCG of the recommender, the baselines and the controls against k.

    Bands are 95 % intervals over users.
    """
    figure, panels = new_figure("Is the item that came next among the first k?", 2)
    for panel, (kind, title) in zip(panels, KINDS.items(), strict=True):
        for number, (label, prefix) in enumerate(systems(metrics).items()):
            _curve(panel, metrics, prefix, kind, label, number)
        ks = list(by_k(metrics, "recommend.", kind))
        panel.set(title=title, xlabel="k", xscale="log")
        panel.set_xticks(ks, [str(k) for k in ks])
        panel.minorticks_off()
        panel.set_ylim(bottom=0)
    panels[0].legend(frameon=False, fontsize="small", loc="upper left")
    return figure


def _curve(panel: Axes, metrics: Metrics, prefix: str, kind: str, label: str, number: int) -> None:
    values = by_k(metrics, prefix, kind)
    ks = list(values)
    colour = COLOURS[number % len(COLOURS)]
    style = {"linewidth": 2.2} if number == 0 else {"linewidth": 1.4, "linestyle": "--"}
    panel.plot(
        ks, list(values.values()), color=colour, marker="o", markersize=4, label=label, **style
    )
    low, high = (
        [metrics.get(f"{prefix}{kind}_at_{k}.{end}") for k in ks] for end in ("low", "high")
    )
    if ks and None not in (*low, *high):
        panel.fill_between(ks, low, high, color=colour, alpha=0.15, linewidth=0)


def recall_by_slice(metrics: Metrics) -> Figure:
    """Draw Recall at the k of the lists by how often the target occurs among the events trained on.

    A group of bars a slice, a bar each for the recommender and the baselines.
    """
    k = int(metrics["recommend.k"])
    figure, (panel,) = new_figure(f"Recall at {k}, by how often the target was trained on", 1)
    named = re.compile(r"recommend\.slice\.([^.]+)\.targets")
    slices = {m[1]: metrics[m[0]] for name in metrics if (m := named.fullmatch(name))}
    measured = {
        label: [metrics.get(f"{prefix}slice.{name}.recall_at_{k}") for name in slices]
        for label, prefix in systems(metrics).items()
    }
    measured = {
        label: found for label, found in measured.items() if any(v is not None for v in found)
    }
    width = 0.8 / max(1, len(measured))
    for number, (label, found) in enumerate(measured.items()):
        at = [place + (number - (len(measured) - 1) / 2) * width for place in range(len(slices))]
        bars = panel.bar(at, [v or 0 for v in found], width * 0.92, label=label)
        panel.bar_label(bars, [_short(v) for v in found], padding=3, fontsize=7, rotation=90)
    panel.set_xticks(range(len(slices)), [_ticks(metrics, name) for name in slices])
    panel.margins(y=0.2)
    panel.set_ylabel(f"Recall at {k}")
    if slices:
        panel.legend(frameon=False, fontsize="small", loc="best")
    return figure


def _ticks(metrics: Metrics, name: str) -> str:
    about = metrics.get(f"recommend.slice.{name}.events", "")
    targets = metrics[f"recommend.slice.{name}.targets"]
    return f"{name}{f' ({about})' if about else ''}\n{targets:,.0f} targets"


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".removeprefix("0")


def recall_by_beam(metrics: Metrics) -> Figure:
    """Draw Recall and NDCG against the width of the beam, and what the width costs."""
    k = int(metrics["recommend.k"])
    figure, (quality, speed) = new_figure("What does a wider beam give?", 2)
    named = re.compile(rf"recommend\.beam\.(\d+)\.recall_at_{k}")
    widths = sorted(int(m[1]) for name in metrics if (m := named.fullmatch(name)))
    for (kind, title), colour in zip(KINDS.items(), (BLUE, ORANGE), strict=True):
        values = [metrics[f"recommend.beam.{w}.{kind}_at_{k}"] for w in widths]
        quality.plot(widths, values, marker="o", color=colour, linewidth=2, label=title)
        for width, value in zip(widths, values, strict=True):
            quality.annotate(
                f"{value:.4f}", (width, value), textcoords="offset points", xytext=(0, 7),
                ha="center", fontsize=8,
            )  # fmt: skip
    quality.set(title=f"at {k}", xlabel="width of the beam")
    quality.margins(x=0.12, y=0.2)
    quality.set_ylim(bottom=0)
    rates = [metrics.get(f"recommend.beam.{w}.users_per_second", 0.0) for w in widths]
    speed.plot(widths, rates, marker="o", color=GREY, linewidth=2)
    speed.set(title="users a second", xlabel="width of the beam")
    speed.set_ylim(bottom=0)
    thousands(speed)
    for panel in (quality, speed):
        panel.set_xticks(widths, [str(width) for width in widths])
    if widths:
        quality.legend(frameon=False, loc="lower center", ncols=2)
    return figure
