"""The figures of the report: plain arrays in, matplotlib figures out, no files.

Every function returns a figure in the palette of :mod:`seefit.drawing`; words that appear in it are arguments,
so that a report in another language passes its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, style
from seefit.report.axes import (
    WIDTH,
    Counts,
    Floats,
    axis_labels,
    floor_share,
    legend_above,
    no_ticks,
    number_axis,
    percent,
    row_labels,
    share_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_intervals(
    names: Sequence[str],
    values: Floats,
    lows: Floats,
    highs: Floats,
    *,
    references: Floats | None = None,
    x_label: str = "share right",
    reference_label: str = "baseline",
) -> Figure:
    """Draw one dot with its interval per row, and a tick where a baseline stands.

    Args:
        names: N names, top to bottom.
        values: (N,) shares in [0, 1].
        lows: (N,) lower ends of the intervals; NaN draws a dot alone.
        highs: (N,) upper ends.
        references: (N,) shares that a blind guess reaches; NaN where there is none.
        x_label: Words below the axis.
        reference_label: Words beside the first baseline tick.

    Returns:
        A figure 400 points wide whose height grows with N.
    """
    labels, left = row_labels(names)
    row = 30.0 if len(names) <= 8 else 19.0
    figure = blank(WIDTH, row * len(names) + 62)
    with style():
        axes = place(figure, left=left, bottom=42, right=50, top=20)
        places = np.arange(len(names))
        axes.hlines(places, lows, highs, color=colour("accent"), linewidth=3, alpha=0.45)
        axes.plot(values, places, "o", color=colour("accent"), markersize=6.5, clip_on=False)
        if references is not None:
            _reference_ticks(axes, references, reference_label)
        for spot, value in zip(places, values, strict=True):
            axes.text(1.03, float(spot), percent(value), transform=axes.get_yaxis_transform(), va="center", size=10.5)
        share_axis(axes, "x", x_label)
        axes.set_xlim(floor_share(np.concatenate([values, lows, np.array([]) if references is None else references])), 1.0)
        axes.set_yticks(places, labels=labels, color=colour("ink"))
        axes.tick_params(axis="y", pad=9)
        axes.set_ylim(len(names) - 0.5, -0.5)
    return figure


def draw_balance(classes: Sequence[str], counts: Mapping[str, Counts], *, x_label: str = "images") -> Figure:
    """Draw how many images each class has, one bar per class, cut by part.

    Args:
        classes: K names, top to bottom.
        counts: Name of a part → (K,) numbers of images; at most three parts, in order.
        x_label: Words below the axis.

    Returns:
        A figure 400 points wide; its bars end in the sum.
    """
    labels, left = row_labels(classes)
    figure = blank(WIDTH, 22.0 * len(classes) + 74)
    with style():
        axes = place(figure, left=left, bottom=36, right=48, top=32)
        places, ends = np.arange(len(classes)), np.zeros(len(classes))
        for (part, numbers), tint in zip(counts.items(), ("accent", "middle", "faint"), strict=False):
            axes.barh(places, numbers, left=ends, height=0.62, color=colour(tint), label=part)
            ends = ends + numbers
        for spot, total in zip(places, ends, strict=True):
            axes.annotate(f"{int(total):,}", (total, spot), (5, 0), textcoords="offset points", va="center", size=10.5)
        legend_above(axes)
        number_axis(axes, x_label)
        axes.set_yticks(places, labels=labels, color=colour("ink"))
        axes.set_ylim(len(classes) - 0.5, -0.5)
    return figure


def draw_balance_ranks(counts: Counts, *, x_label: str = "classes, from the largest to the smallest", y_label: str = "images") -> Figure:
    """Draw the sizes of many classes as one falling line, on a logarithmic axis.

    Args:
        counts: (K,) numbers of images per class.
        x_label: Words below the axis.
        y_label: Words above the axis.

    Returns:
        A figure 400 points wide.
    """
    ordered = np.sort(counts)[::-1]
    figure = blank(WIDTH, 230)
    with style():
        axes = place(figure, left=52, bottom=42, right=20, top=28)
        ranks = np.unique(np.linspace(0, len(ordered) - 1, 400).astype(int))  # 10,000 classes need no 10,000 points
        axes.fill_between(ranks + 1, np.maximum(ordered[ranks], 0.8), 0.8, color=colour("accent"), alpha=0.25, linewidth=0)
        axes.plot(ranks + 1, np.maximum(ordered[ranks], 0.8), color=colour("accent"), linewidth=2)
        axes.set_yscale("log")
        axes.set_ylim(0.8, max(10.0, ordered[0] * 1.4))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else "")
        axes.yaxis.set_minor_locator(no_ticks())
        axis_labels(axes, x_label, y_label)
        axes.grid(axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlim(1, len(ordered))
    return figure


def draw_reliability(
    said: Floats,
    right: Floats,
    lows: Floats,
    highs: Floats,
    counts: Counts,
    *,
    x_label: str = "how sure the model said it was",
    y_label: str = "how often it was right",
    count_label: str = "images",
) -> Figure:
    """Draw stated confidence against the share that was right, with the number of images below.

    Args:
        said: (B,) mean confidence of each bin, in [0, 1].
        right: (B,) share of each bin that was right.
        lows: (B,) lower ends of the intervals of ``right``.
        highs: (B,) upper ends.
        counts: (B,) images per bin.
        x_label: Words below the axis.
        y_label: Words above the upper panel.
        count_label: Words above the lower panel.

    Returns:
        A figure 400 points wide with two panels that share their horizontal axis.
    """
    start = floor_share(said)
    figure = blank(WIDTH, 410)
    with style():
        axes = place(figure, left=48, bottom=140, right=20, top=30)
        axes.plot([0, 1], [0, 1], "--", color=colour("muted"), linewidth=1)
        axes.vlines(said, lows, highs, color=colour("accent"), linewidth=3, alpha=0.45)
        axes.plot(said, right, "o", color=colour("accent"), markersize=6.5, clip_on=False)
        axes.set_xlim(start, 1)
        axes.set_ylim(min(start, floor_share(lows)), 1)
        share_axis(axes, "y")
        share_axis(axes, "x")
        axes.set_xticklabels([])
        axis_labels(axes, "", y_label)
        below = place(figure, left=48, bottom=42, right=20, top=310)
        below.vlines(said, 0, counts, color=colour("middle"), linewidth=9)
        below.set_xlim(start, 1)
        below.set_ylim(0, max(1, int(counts.max())) * 1.3)
        for spot, count in zip(said, counts, strict=True):
            below.annotate(
                f"{int(count):,}", (spot, count), (0, 3), textcoords="offset points", ha="center", size=9.5, color=colour("muted")
            )
        below.set_yticks([])
        share_axis(below, "x")
        below.grid(visible=False)
        axis_labels(below, x_label, count_label)
    return figure


def _reference_ticks(axes: Axes, references: Floats, label: str) -> None:
    rows = np.flatnonzero(np.isfinite(references))
    if not len(rows):
        return
    axes.vlines(references[rows], rows - 0.32, rows + 0.32, color=colour("bad"), linewidth=2)
    axes.annotate(
        label,
        (references[rows[0]], rows[0] - 0.34),
        (0, 3),
        textcoords="offset points",
        color=colour("bad"),
        size=10,
        ha="center",
        va="bottom",
        annotation_clip=False,
    )
