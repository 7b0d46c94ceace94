"""The figures of the report: plain arrays in, matplotlib figures out, no files.

Every function returns a figure in the palette of :mod:`seefit.drawing`; words that appear in it are arguments,
so that a report in another language passes its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seefit.drawing import blank, colour, place, shown, style, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

WIDTH = 400.0  # points; narrow, so that letters stay readable when a phone shrinks the figure
LONGEST_NAME = 27


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
    labels, left = _labels(names)
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
            axes.text(1.03, float(spot), _percent(value), transform=axes.get_yaxis_transform(), va="center", size=10.5)
        _share_axis(axes, "x", x_label)
        axes.set_xlim(_floor(np.concatenate([values, lows, np.array([]) if references is None else references])), 1.0)
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
    labels, left = _labels(classes)
    figure = blank(WIDTH, 22.0 * len(classes) + 74)
    with style():
        axes = place(figure, left=left, bottom=36, right=48, top=32)
        places, ends = np.arange(len(classes)), np.zeros(len(classes))
        for (part, numbers), tint in zip(counts.items(), ("accent", "middle", "faint"), strict=False):
            axes.barh(places, numbers, left=ends, height=0.62, color=colour(tint), label=part)
            ends = ends + numbers
        for spot, total in zip(places, ends, strict=True):
            axes.annotate(f"{int(total):,}", (total, spot), (5, 0), textcoords="offset points", va="center", size=10.5)
        _legend(axes)
        _number_axis(axes, x_label)
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
        axes.yaxis.set_minor_locator(_nothing())
        _axis_labels(axes, x_label, y_label)
        axes.grid(axis="y")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlim(1, len(ordered))
    return figure


def draw_confusion(counts: Counts, classes: Sequence[str], *, x_label: str = "the model said", y_label: str = "really is") -> Figure:
    """Draw a confusion matrix; shades are shares of a row, numbers are images.

    Args:
        counts: (K, K) numbers of images; row: the actual class, column: the predicted one.
        classes: K names.
        x_label: Words above the columns.
        y_label: Words above the rows' names.

    Returns:
        A figure as wide as its cells need, at least 320 points.
    """
    size = len(classes)
    labels, left = _labels(classes)
    cell = max(20.0, min(74.0, 340 / size))
    slanted = size > 2 and max(text_width(label) for label in labels) > cell
    top = 34 + (0.72 * (left - 14) if slanted else 12)
    right = max(14.0, 0.72 * (left - 14) - cell / 2 + 10 if slanted else 14.0)
    figure = blank(max(320.0, left + cell * size + right), top + cell * size + 10)
    with style():
        spare = figure.get_size_inches()[0] * 72 - left - cell * size
        axes = place(figure, left=left, bottom=10, right=spare, top=top)
        _confusion_cells(axes, counts, cell)
        axes.set_xlim(0, size)
        axes.set_ylim(size, 0)
        slant: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {}
        axes.set_xticks(np.arange(size) + 0.5, labels=labels, color=colour("ink"), **slant)
        axes.xaxis.tick_top()
        axes.set_yticks(np.arange(size) + 0.5, labels=labels, color=colour("ink"))
        axes.spines[:].set_visible(False)
        height = top + cell * size + 10
        figure.text(left / (left + cell * size + spare), 1 - 12 / height, f"{x_label} →", color=colour("muted"), size=10.5, va="center")
        figure.text(
            (left - 6) / (left + cell * size + spare), 1 - (top - 4) / height, f"{y_label} ↓", color=colour("muted"), size=10.5, ha="right"
        )
    return figure


def draw_strength_path(
    strengths: Floats,
    losses: Floats,
    scores: Floats | None,
    chosen: int,
    *,
    x_label: str = "strength",
    loss_label: str = "loss on held-out folds (lower is better)",
    score_label: str = "balanced accuracy on held-out folds (higher is better)",
) -> Figure:
    """Draw loss and score over held-out folds along the path of strengths, the chosen one marked.

    Args:
        strengths: (S,) positive values that were tried.
        losses: (S,) mean loss over held-out folds.
        scores: (S,) balanced accuracy in [0, 1], or None.
        chosen: Index of the strength that the head was fitted with.
        x_label: Words below the axis.
        loss_label: Words above the upper panel.
        score_label: Words above the lower panel.

    Returns:
        A figure 400 points wide with one or two panels.
    """
    panels = [(losses, loss_label)] + ([] if scores is None else [(scores, score_label)])
    figure = blank(WIDTH, 150.0 * len(panels) + 40)
    with style():
        for i, (series, label) in enumerate(panels):
            below = 150.0 * (len(panels) - 1 - i)
            axes = place(figure, left=48, bottom=below + 42, right=20, top=150.0 * i + 34)
            axes.axvline(strengths[chosen], color=colour("line"), linewidth=5)
            axes.plot(strengths, series, "-o", color=colour("accent"), linewidth=2, markersize=4)
            axes.plot(strengths[chosen], series[chosen], "o", color=colour("bad"), markersize=8)
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.xaxis.set_minor_locator(_nothing())
            axes.margins(y=0.15)
            if i == 1:
                axes.yaxis.set_major_formatter(lambda value, _: _percent(value))
            axes.grid(axis="y")
            last = i == len(panels) - 1
            axes.tick_params(labelbottom=last)
            _axis_labels(axes, x_label if last else "", label)
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
    start = _floor(said)
    figure = blank(WIDTH, 410)
    with style():
        axes = place(figure, left=48, bottom=140, right=20, top=30)
        axes.plot([0, 1], [0, 1], "--", color=colour("muted"), linewidth=1)
        axes.vlines(said, lows, highs, color=colour("accent"), linewidth=3, alpha=0.45)
        axes.plot(said, right, "o", color=colour("accent"), markersize=6.5, clip_on=False)
        axes.set_xlim(start, 1)
        axes.set_ylim(min(start, _floor(lows)), 1)
        _share_axis(axes, "y", "")
        _share_axis(axes, "x", "")
        axes.set_xticklabels([])
        _axis_labels(axes, "", y_label)
        below = place(figure, left=48, bottom=42, right=20, top=310)
        below.vlines(said, 0, counts, color=colour("middle"), linewidth=9)
        below.set_xlim(start, 1)
        below.set_ylim(0, max(1, int(counts.max())) * 1.3)
        for spot, count in zip(said, counts, strict=True):
            below.annotate(
                f"{int(count):,}", (spot, count), (0, 3), textcoords="offset points", ha="center", size=9.5, color=colour("muted")
            )
        below.set_yticks([])
        _share_axis(below, "x", "")
        below.grid(visible=False)
        _axis_labels(below, x_label, count_label)
    return figure


def _labels(names: Sequence[str]) -> tuple[list[str], float]:
    labels = [shown(name, LONGEST_NAME) for name in names]
    widest = max((text_width(label) for label in labels), default=0.0)
    return labels, min(180.0, max(40.0, widest + 18))


def _percent(share: float) -> str:
    """Write a share in whole percents, but never as none or all when it is neither."""
    number = 100 * share
    digits = 1 if 0 < number < 1 or 99 < number < 100 else 0
    return f"{min(number, 99.9) if number < 100 else number:.{digits}f}\u00a0%"


def _floor(values: Floats) -> float:
    """Return a round share below all values, so that the axis keeps only what it needs."""
    known = values[np.isfinite(values)]
    lowest = float(known.min()) if len(known) else 0.0
    return 0.0 if lowest < 0.25 else math.floor(lowest * 10 - 0.5) / 10


def _share_axis(axes: Axes, which: str, label: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    corners = axes.get_window_extent()
    room = corners.width / 46 if which == "x" else corners.height / 24  # so many labels fit side by side
    axis.set_major_locator(_round_steps(max(2, int(room))))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f}\u00a0%")
    axis.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    if label:
        axes.set_xlabel(label, size=10.5)


def _number_axis(axes: Axes, label: str) -> None:
    axes.xaxis.set_major_locator(_whole_numbers(5))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(label, size=10.5)


def _round_steps(most: int) -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 5, 10])


def _nothing() -> Locator:
    """Return no places: a logarithmic axis would otherwise make dozens of ticks that nobody sees."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _whole_numbers(most: int) -> Locator:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, integer=True)


def _axis_labels(axes: Axes, below: str, above: str) -> None:
    """Write the vertical axis' words above it, level, where they can be read."""
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(below, size=10.5)
    axes.annotate(above, (0, 1), (-40, 10), xycoords="axes fraction", textcoords="offset points", color=colour("muted"), size=10.5)


def _legend(axes: Axes) -> None:
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=3,
        frameon=False,
        borderaxespad=0.2,
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
    )


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


def _confusion_cells(axes: Axes, counts: Counts, cell: float) -> None:
    """Shade and number the cells that hold images: one collection for all, since 30 classes have 900 cells."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    filled = [(int(row), int(column)) for row, column in np.argwhere(counts > 0)]
    corners = [[(c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)] for r, c in filled]
    # Never so dark that the ink on it cannot be read, on a light page or a dark one.
    tints = [to_rgba(colour("accent" if r == c else "bad"), 0.08 + 0.47 * float(shares[r, c])) for r, c in filled]
    axes.add_collection(PolyCollection(corners, facecolors=tints, linewidths=0), autolim=False)
    lines = np.arange(len(counts) + 1)
    axes.hlines(lines, 0, len(counts), color=colour("line"), linewidth=0.6, clip_on=False)
    axes.vlines(lines, 0, len(counts), color=colour("line"), linewidth=0.6, clip_on=False)
    roomy = cell > 50
    for r, c in filled:
        size = 15.0 if roomy else max(8.0, min(11.0, cell * 0.36))
        axes.text(c + 0.5, r + (0.4 if roomy else 0.5), f"{counts[r, c]:,}", ha="center", va="center", size=size)
        if roomy:
            axes.text(c + 0.5, r + 0.74, _percent(float(shares[r, c])), ha="center", va="center", size=9.5)
