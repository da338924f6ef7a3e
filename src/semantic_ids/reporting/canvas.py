"""What all figures are drawn on: their size, colours and axes.

The colours are those of M. Okabe and K. Ito, "Color universal design" (2008), told apart with any
kind of colour vision. A figure is 900 px wide.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DOTS = 9.0, 4.6, 100
BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#555555",
)
COLOURS = (BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY)


def new_figure(title: str, panels: int) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with so many panels, at most three a row."""
    from matplotlib.figure import Figure

    columns = min(3, panels) if panels != 4 else 2
    rows = math.ceil(panels / columns)
    figure = Figure(
        figsize=(WIDTH, HEIGHT if rows == 1 else 2.9 * rows + 0.5), dpi=DOTS, layout="constrained"
    )
    figure.suptitle(title, fontsize=13)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in axes[panels:]:
        empty.set_axis_off()
    for panel in axes[:panels]:
        _prepare(panel)
    return figure, list(axes[:panels])


def _prepare(panel: Axes) -> None:
    panel.set_prop_cycle(color=list(COLOURS))
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    panel.set_axisbelow(True)


def thousands(panel: Axes) -> None:
    """Write the numbers of the y axis with a comma between thousands."""
    panel.yaxis.set_major_formatter("{x:,.0f}")
