"""Curves of training: loss and accuracy, of the pictures that were learnt from and of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, style
from seefit.report.axes import WIDTH, Floats, axis_labels, legend_above, no_ticks, percent, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEIGHT = 158.0  # points of a panel


@dataclass(frozen=True)
class Panel:
    """One panel: a value for training and one for pictures that were not learnt from, each (S,), NaN where there is none.

    Attributes:
        label: Words above the panel.
        train: Of training.
        held_out: Of the others.
        share: Whether the values are shares, written in percent.
    """

    label: str
    train: Floats
    held_out: Floats
    share: bool = False


def draw_training(
    places: Floats,
    panels: Sequence[Panel],
    marked: int | None,
    *,
    names: tuple[str, str] = ("training", "held out"),
    x_label: str = "epoch",
    logarithmic: bool = False,
) -> Figure:
    """Draw panels one below the other with one horizontal axis.

    Args:
        places: (S,) rising places: epochs, or strengths of a penalty.
        panels: At least one.
        marked: Index of the place that was kept; None for none.
        names: Of the two lines.
        x_label: Words below the lowest panel.
        logarithmic: Whether places are spread by equal factors.

    Returns:
        A figure 400 points wide.
    """
    figure = blank(WIDTH, HEIGHT * len(panels) + 56)
    with style():
        for i, panel in enumerate(panels):
            last = i == len(panels) - 1
            axes = place(figure, left=50, bottom=HEIGHT * (len(panels) - 1 - i) + 42, right=20, top=HEIGHT * i + 56)
            _draw_panel(axes, places, panel, marked, names)
            if logarithmic:
                axes.set_xscale("log")
                axes.xaxis.set_minor_locator(no_ticks())
                axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            else:
                axes.xaxis.set_major_locator(whole_numbers(8))
            axes.tick_params(labelbottom=last)
            axis_labels(axes, x_label if last else "", panel.label)
            if i == 0:
                legend_above(axes, 1.17)
    return figure


def _draw_panel(axes: Axes, places: Floats, panel: Panel, marked: int | None, names: tuple[str, str]) -> None:
    if marked is not None:
        axes.axvline(places[marked], color=colour("line"), linewidth=6)
    for series, tint, name in ((panel.train, "middle", names[0]), (panel.held_out, "accent", names[1])):
        if np.isfinite(series).any():
            line = "--" if tint == "middle" else "-"
            axes.plot(places, series, line, marker="o", color=colour(tint), linewidth=2, markersize=3.5, label=name)
    if marked is not None:
        value = panel.held_out[marked] if np.isfinite(panel.held_out[marked]) else panel.train[marked]
        axes.plot(places[marked], value, "o", color=colour("bad"), markersize=8)
    if panel.share:
        axes.yaxis.set_major_formatter(lambda value, _: percent(value))
    axes.margins(y=0.15)
    axes.grid(axis="y")
