"""The figures of a search: its trials in their order, and which settings mattered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, style
from seefit.report.axes import WIDTH, Floats, axis_labels, legend_above, percent, row_labels, share_axis, whole_numbers
from seefit.report.study_figures import ROW

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOM = 0.15  # above and below, of the height that the trials take


def draw_history(
    scores: Floats, so_far: Floats, *, names: tuple[str, str, str] = ("seen to the end", "given up", "best so far"), x_label: str = "trial"
) -> Figure:
    """Draw a dot for every trial in their order, and the best so far as a line.

    Args:
        scores: (T,) shares in [0, 1]; NaN of a trial that did not see all folds.
        so_far: (T,) mean of the folds that it saw; NaN where it saw none.
        names: Of the two kinds of dots and of the line.
        x_label: Words below the axis.
    """
    numbers = np.arange(1, len(scores) + 1)
    whole = np.isfinite(scores)
    best = np.fmax.accumulate(scores)
    figure = blank(WIDTH, 260)
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=62)
        axes.plot(numbers[whole], scores[whole], "o", color=colour("middle"), markersize=6, label=names[0])
        if not whole.all():
            axes.plot(numbers[~whole], so_far[~whole], "x", color=colour("muted"), markersize=6, label=names[1])
        axes.step(numbers, best, where="post", color=colour("accent"), linewidth=2, label=names[2])
        axes.plot(1 + int(np.nanargmax(scores)), np.nanmax(scores), "o", color=colour("bad"), markersize=8)
        seen = np.concatenate([scores[whole], so_far[~whole][np.isfinite(so_far[~whole])]])
        room = max(ROOM * float(np.ptp(seen)), 0.002)
        axes.set_ylim(float(seen.min()) - room, float(seen.max()) + room)
        axes.set_xlim(0.4, len(scores) + 0.6)
        share_axis(axes, "y")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}\u00a0%")
        axes.xaxis.set_major_locator(whole_numbers(8))
        axis_labels(axes, x_label, "")
        legend_above(axes, 1.08)
    return figure


def draw_importance(names: Sequence[str], shares: Floats, *, x_label: str = "share of the differences") -> Figure:
    """Draw how much each setting explains as a bar with its value.

    Args:
        names: Of the settings, top to bottom.
        shares: (S,) summing to 1.
        x_label: Words below the axis.
    """
    labels, left = row_labels(names)
    figure = blank(WIDTH, ROW * len(names) + 58)
    with style():
        axes = place(figure, left=left, bottom=42, right=54, top=16)
        axes.barh(range(len(names)), shares, height=0.55, color=colour("accent"))
        for row, share in enumerate(shares.tolist()):
            axes.text(1.03, row, percent(share), transform=axes.get_yaxis_transform(), va="center", size=10.5)
        axes.set_xlim(0, 1)
        share_axis(axes, "x", x_label)
        axes.set_yticks(range(len(names)), labels=labels, color=colour("ink"))
        axes.set_ylim(len(names) - 0.5, -0.5)
    return figure
