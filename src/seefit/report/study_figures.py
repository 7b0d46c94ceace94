"""The figures of a study: arms with their folds, and differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, shown, style
from seefit.report.axes import WIDTH, Floats, floor_share, percent, row_labels, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 40.0  # points an arm takes


def draw_arms(names: Sequence[str], scores: Sequence[Floats], *, x_label: str = "balanced accuracy") -> Figure:
    """Draw every fold of an arm as a pale dot and their mean as a dark one with its value, an arm a row.

    Args:
        names: A names, top to bottom.
        scores: Per arm (J,) shares in [0, 1].
        x_label: Words below the axis.
    """
    labels, left = row_labels(names)
    figure = blank(WIDTH, ROW * len(names) + 58)
    with style():
        axes = place(figure, left=left, bottom=42, right=54, top=16)
        for row, values in enumerate(scores):
            lift = np.linspace(-0.22, 0.22, len(values))  # folds of one value must not hide each other
            axes.plot(values, row + lift, "o", color=colour("middle"), alpha=0.55, markersize=4.5, linewidth=0)
            axes.plot([values.mean()] * 2, [row - 0.36, row + 0.36], color=colour("accent"), linewidth=3)
            axes.text(1.03, row, percent(float(values.mean())), transform=axes.get_yaxis_transform(), va="center", size=10.5)
        everything = np.concatenate(list(scores))
        share_axis(axes, "x", x_label)
        axes.set_xlim(floor_share(everything), min(1.0, float(everything.max()) + 0.02))
        axes.set_yticks(range(len(names)), labels=labels, color=colour("ink"))
        axes.set_ylim(len(names) - 0.5, -0.5)
    return figure


def draw_differences(
    names: Sequence[str],
    values: Floats,
    lows: Floats,
    highs: Floats,
    verdicts: Sequence[str],
    *,
    x_label: str = "points better or worse",
    base: str = "the same",
) -> Figure:
    """Draw the paired difference of each arm with its interval about a line that means no difference.

    Args:
        names: A names, top to bottom.
        values: (A,) differences of shares.
        lows: (A,) lower ends.
        highs: (A,) upper ends.
        verdicts: A of ``helps``, ``hurts`` and ``not shown``, which give the colours.
        x_label: Words below the axis.
        base: What is written at the line.
    """
    labels, left = row_labels(names)
    figure = blank(WIDTH, ROW * len(names) + 66)
    with style():
        axes = place(figure, left=left, bottom=42, right=54, top=24)
        rows = np.arange(len(names))
        tints = [colour({"helps": "accent", "hurts": "bad"}.get(said, "muted")) for said in verdicts]
        axes.axvline(0, color=colour("ink"), linewidth=1, linestyle=(0, (4, 3)))
        axes.hlines(rows, 100 * lows, 100 * highs, colors=tints, linewidth=3, alpha=0.55)
        axes.scatter(100 * values, rows, c=tints, s=46, zorder=3)
        for row, value in zip(rows.tolist(), values, strict=True):
            axes.text(1.03, row, signed(value), transform=axes.get_yaxis_transform(), va="center", size=10.5)
        reach = 1.1 * 100 * max(float(np.abs(np.concatenate([lows, highs])).max()), 0.005)
        axes.set_xlim(-reach, reach)
        axes.xaxis.set_major_formatter(lambda value, _: "0" if value == 0 else f"{value:+.3g}".replace("-", "−"))
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.grid(visible=True)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(x_label, size=10.5)
        axes.annotate(shown(base, 30), (0, 1), (0, 5), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", size=10)
        axes.set_yticks(rows, labels=labels, color=colour("ink"))
        axes.set_ylim(len(names) - 0.5, -0.5)
    return figure


def signed(share: float) -> str:
    """Write a difference of shares in points with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")
