"""The figures of trust: accuracy when only the surest answers count, and how unlike the training images the judged ones are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seefit.drawing import blank, colour, place, style
from seefit.report.figures import WIDTH, Floats, _axis_labels, _floor, _percent, _share_axis, _whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_selective(
    shares: Floats,
    accuracy: Floats,
    lows: Floats,
    highs: Floats,
    marked: float,
    *,
    x_label: str = "share of the pictures that it answers",
    y_label: str = "share right of these",
) -> Figure:
    """Draw accuracy against the share of pictures that are answered, the surest first.

    Args:
        shares: (P,) rising, in (0, 1].
        accuracy: (P,) shares in [0, 1].
        lows: (P,) lower ends of the intervals.
        highs: (P,) upper ends.
        marked: The share that gets a dot and its number.
        x_label: Words below the axis.
        y_label: Words above the axis.

    Returns:
        A figure 400 points wide.
    """
    figure = blank(WIDTH, 270)
    with style():
        axes = place(figure, left=48, bottom=44, right=20, top=30)
        axes.fill_between(shares, lows, highs, color=colour("accent"), alpha=0.2, linewidth=0)
        axes.plot(shares, accuracy, color=colour("accent"), linewidth=2)
        spot = int(np.abs(shares - marked).argmin())
        axes.plot(shares[spot], accuracy[spot], "o", color=colour("bad"), markersize=8)
        axes.annotate(
            _percent(float(accuracy[spot])), (shares[spot], accuracy[spot]), (0, 10), textcoords="offset points", ha="center", size=11
        )
        axes.set_xlim(0, 1)
        seen = lows[len(lows) // 5 :]  # the first few pictures tell next to nothing
        axes.set_ylim(_floor(seen), 1.0)
        _share_axis(axes, "y", "")
        _share_axis(axes, "x", "")
        axes.tick_params(axis="x", pad=7)
        _axis_labels(axes, x_label, y_label)
    return figure


def draw_unknown(
    edges: Floats,
    images: Floats,
    limit: float,
    *,
    x_label: str = "how unlike the training pictures (0: as usual)",
    y_label: str = "pictures",
    limit_label: str = "limit",
) -> Figure:
    """Draw how many pictures are how unlike the training images, and where refusing begins.

    Args:
        edges: (B + 1,) ends of the bins, rising.
        images: (B,) numbers of pictures.
        limit: Beyond it a picture is refused.
        x_label: Words below the axis.
        y_label: Words above the axis.
        limit_label: Words beside the limit.

    Returns:
        A figure 400 points wide.
    """
    figure = blank(WIDTH, 230)
    with style():
        axes = place(figure, left=48, bottom=44, right=20, top=30)
        middles = (edges[1:] + edges[:-1]) / 2
        tints = [colour("bad" if middle > limit else "middle") for middle in middles]
        axes.bar(middles, images, width=np.diff(edges) * 0.92, color=tints)
        axes.axvline(limit, color=colour("bad"), linewidth=1.5)
        axes.annotate(
            f"{limit_label} →",
            (limit, 1),
            (5, -4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=colour("bad"),
            va="top",
        )
        used = np.concatenate([middles[images > 0], [limit - 2, limit + 1]])
        axes.set_xlim(max(edges[0], used.min() - 0.2), min(edges[-1], used.max() + 0.2))
        axes.set_ylim(0, max(1.0, float(images.max())) * 1.15)
        axes.yaxis.set_major_locator(_whole_numbers(5))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        _axis_labels(axes, x_label, y_label)
    return figure
