"""The figures of a comparison: quality against cost, and decision curves of several models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, style
from seefit.report.axes import WIDTH, Floats, axis_labels, floor_share, legend_in_two, no_ticks, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES = 8  # colours and dashes that can be told apart
DASHES = ("-", "--", "-.", ":")
WIDE_RANGE = 8.0  # largest over smallest cost above which the axis has equal factors


def draw_front(
    costs: Floats,
    values: Floats,
    lows: Floats,
    highs: Floats,
    front: Sequence[bool],
    *,
    x_label: str = "cost",
    y_label: str = "share right",
) -> Figure:
    """Draw quality against cost: a numbered dot with its interval for each, those worth their cost filled and joined.

    Args:
        costs: (N,) above 0; numbers are 1 to N in this order.
        values: (N,) shares in [0, 1].
        lows: (N,) lower ends of the intervals; NaN draws a dot alone.
        highs: (N,) upper ends.
        front: Whether each is worth its cost.
        x_label: Words below the axis.
        y_label: Words above it.

    Returns:
        A figure 400 points wide.
    """
    figure = blank(WIDTH, 280)
    with style():
        axes = place(figure, left=50, bottom=44, right=24, top=30)
        axes.vlines(costs, lows, highs, color=colour("accent"), linewidth=2.5, alpha=0.35)
        steps = sorted(i for i, on in enumerate(front) if on)
        steps.sort(key=lambda i: costs[i])
        axes.plot(costs[steps], values[steps], color=colour("accent"), linewidth=1.2, linestyle="--")
        for i, (cost, value, on) in enumerate(zip(costs, values, front, strict=True), 1):
            face = colour("accent") if on else "none"
            axes.plot(cost, value, "o", markersize=9, markeredgecolor=colour("accent"), markerfacecolor=face)
            axes.annotate(str(i), (cost, value), (9, 5), textcoords="offset points", size=11)
        _cost_axis(axes, costs)
        axes.set_ylim(floor_share(np.concatenate([values, lows])), 1.0)
        share_axis(axes, "y", "")
        axis_labels(axes, x_label, y_label)
    return figure


def _cost_axis(axes: Axes, costs: Floats) -> None:
    """Start at nothing, or where costs are far apart use equal factors."""
    axes.grid(visible=True)
    if costs.max() <= WIDE_RANGE * costs.min():
        axes.set_xlim(0, 1.12 * float(costs.max()))
        axes.locator_params(axis="x", nbins=6)
    else:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(no_ticks())
        axes.set_xlim(float(costs.min()) / 1.3, float(costs.max()) * 1.3)
        axes.set_xticks(_factors(float(costs.min()), float(costs.max())))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")


def _factors(low: float, high: float) -> list[float]:
    """Return round numbers from low to high: powers of ten, with 2 and 5 times those where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 3 else (1,)
    return [step * 10.0**power for power in powers for step in steps if low / 1.3 <= step * 10.0**power <= high * 1.3]


def draw_curves(
    thresholds: Floats,
    models: Sequence[tuple[str, Floats]],
    everything: Floats,
    *,
    names: tuple[str, str] = ("all", "none"),
    x_label: str = "",
    y_label: str = "",
) -> Figure:
    """Draw the decision curves of up to eight models, 400 points wide.

    Args:
        thresholds: (T,) rising.
        models: The name and (T,) net benefit of each.
        everything: (T,) net benefit of acting on all images.
        names: Of acting on all and on none.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    rows = math.ceil((len(models) + 2) / 2)
    figure = blank(WIDTH, 262 + 18 * rows)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=32 + 18 * rows)
        axes.plot(thresholds, everything, color=colour("muted"), linewidth=1.3, label=names[0])
        axes.axhline(0, color=colour("muted"), linewidth=1.3, linestyle=":", label=names[1])
        for i, (name, line) in enumerate(models):
            axes.plot(thresholds, line, DASHES[i % len(DASHES)], color=colour(f"class-{i + 1}"), linewidth=1.8, label=name)
        top = max(float(np.max([line for _, line in models])), float(everything.max()), 1e-9)
        axes.set_ylim(-0.35 * top, 1.12 * top)
        axes.set_xlim(thresholds[0], thresholds[-1])
        share_axis(axes, "x", "")
        axes.grid(axis="y")
        axis_labels(axes, x_label, y_label)
        legend_in_two(axes)
    return figure
