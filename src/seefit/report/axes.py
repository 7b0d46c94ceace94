"""Axes and labels that the figures of the report share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from seefit.drawing import colour, shown, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

WIDTH = 400.0  # points; narrow, so that letters stay readable when a phone shrinks the figure
LONGEST_NAME = 27


def row_labels(names: Sequence[str]) -> tuple[list[str], float]:
    """Return names fit to stand beside rows, and how many points they need."""
    labels = [shown(name, LONGEST_NAME) for name in names]
    widest = max((text_width(label) for label in labels), default=0.0)
    return labels, min(180.0, max(40.0, widest + 18))


def percent(share: float) -> str:
    """Write a share in whole percents, but never as none or all when it is neither."""
    number = 100 * share
    digits = 1 if 0 < number < 1 or 99 < number < 100 else 0
    return f"{min(number, 99.9) if number < 100 else number:.{digits}f}\u00a0%"


def floor_share(values: Floats) -> float:
    """Return a round share below all values, so that the axis keeps only what it needs."""
    known = values[np.isfinite(values)]
    lowest = float(known.min()) if len(known) else 0.0
    return 0.0 if lowest < 0.25 else math.floor(lowest * 10 - 0.5) / 10


def share_axis(axes: Axes, which: Literal["x", "y"], label: str = "") -> None:
    """Mark an axis in round percents, as many as it has room for, with a grid and no frame."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    corners = axes.get_window_extent()
    room = corners.width / 46 if which == "x" else corners.height / 24  # so many labels fit side by side
    axis.set_major_locator(_round_steps(max(2, int(room))))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")
    axis.grid(visible=True)
    axes.tick_params(axis=which, pad=6 if which == "x" else 5)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    if label:
        axes.set_xlabel(label, size=10.5)


def number_axis(axes: Axes, label: str) -> None:
    """Mark the horizontal axis in whole numbers, with a grid and no frame."""
    axes.xaxis.set_major_locator(whole_numbers(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(label, size=10.5)


def axis_labels(axes: Axes, below: str, above: str) -> None:
    """Write the vertical axis' words above it, level, where they can be read."""
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(below, size=10.5)
    axes.annotate(above, (0, 1), (-40, 10), xycoords="axes fraction", textcoords="offset points", color=colour("muted"), size=10.5)


def legend_above(axes: Axes, height: float = 1.0) -> None:
    """Put the legend in one row above the axes, ``height`` in heights of the axes."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, height),
        ncols=3,
        frameon=False,
        borderaxespad=0.2,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
    )


def legend_in_two(axes: Axes) -> None:
    """Put the legend in two columns above the axes and the words above them."""
    above = 1 + 26 / axes.get_window_extent().height
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, above), ncols=2, frameon=False, borderaxespad=0, handlelength=1.8, columnspacing=1.4
    )


def no_ticks() -> Locator:
    """Return no places: a logarithmic axis would otherwise make dozens of ticks that nobody sees."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def whole_numbers(most: int) -> Locator:
    """Return places at whole numbers, at most so many."""
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)


def _round_steps(most: int) -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 5, 10])
