"""The figures of a study: arms with their folds, differences, what each costs, decision curves side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style
from seefit.report.axes import WIDTH, Floats, axis_labels, floor_share, legend_above, percent, row_labels, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 40.0  # points an arm takes
TINTS = ("class-1", "class-2", "class-3", "class-4", "class-5", "class-6", "class-7", "class-8")


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
    names: Sequence[str], values: Floats, lows: Floats, highs: Floats, *, x_label: str = "points better or worse", base: str = "the same"
) -> Figure:
    """Draw the paired difference of each arm with its interval about a line that means no difference.

    Args:
        names: A names, top to bottom.
        values: (A,) differences of shares.
        lows: (A,) lower ends.
        highs: (A,) upper ends.
        x_label: Words below the axis.
        base: What is written at the line.
    """
    labels, left = row_labels(names)
    figure = blank(WIDTH, ROW * len(names) + 66)
    with style():
        axes = place(figure, left=left, bottom=42, right=54, top=24)
        rows = np.arange(len(names))
        tints = [colour("muted" if low <= 0 <= high else "accent" if low > 0 else "bad") for low, high in zip(lows, highs, strict=True)]
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


def draw_costs(
    names: Sequence[str], costs: Floats, values: Floats, best: Sequence[bool], *, x_label: str = "", y_label: str = ""
) -> Figure:
    """Draw how good arms are over what they cost; those that no cheaper one reaches are joined by a line.

    Args:
        names: A names.
        costs: (A,) milliseconds for an image.
        values: (A,) shares in [0, 1].
        best: Whether no other arm is both cheaper and at least as good.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    figure = blank(WIDTH, 270)
    with style():
        axes = place(figure, left=52, bottom=44, right=24, top=36)
        front = sorted((float(costs[i]), float(values[i])) for i in range(len(names)) if best[i])
        axes.plot([x for x, _ in front], [y for _, y in front], color=colour("faint"), linewidth=2)
        for i, name in enumerate(names):
            axes.plot(costs[i], values[i], "o" if best[i] else "s", color=colour("accent" if best[i] else "muted"), markersize=8)
            right = costs[i] > costs.min() + 0.6 * float(np.ptp(costs))
            offset, side = ((-9, 6), "right") if right else ((9, 6), "left")
            axes.annotate(shown(name, 24), (costs[i], values[i]), offset, textcoords="offset points", ha=side, size=10.5)
        width, height = float(np.ptp(costs)) or float(costs.max()) or 1.0, float(np.ptp(values)) or 0.01
        axes.set_xlim(max(0.0, float(costs.min()) - 0.12 * width), float(costs.max()) + 0.12 * width)
        axes.set_ylim(float(values.min()) - 0.25 * height, float(values.max()) + 0.3 * height)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.1f}\u00a0%")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.locator_params(axis="both", nbins=5)
        axes.grid(visible=True)
        axes.set_axisbelow(True)
        axes.spines[:].set_visible(False)
        axis_labels(axes, x_label, y_label)
    return figure


def draw_benefits(
    thresholds: Floats,
    lines: Sequence[tuple[str, Floats]],
    everything: Floats,
    *,
    names: tuple[str, str],
    x_label: str = "",
    y_label: str = "",
) -> Figure:
    """Draw the decision curves of several arms.

    Args:
        thresholds: (T,) rising.
        lines: Name and (T,) net benefit of each arm, eight at most.
        everything: (T,) of acting on all images.
        names: Of acting on all and on none.
        x_label: Words below the axis.
        y_label: Words above it.
    """
    rows = (len(lines) + 2 + 2) // 3
    figure = blank(WIDTH, 270 + 18 * rows)
    dashes: list[Any] = ["-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2)), "-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 2, 2))]
    with style():
        axes = place(figure, left=50, bottom=44, right=20, top=34 + 18 * rows)
        for (name, values), tint, dash in zip(lines, TINTS, dashes, strict=False):
            axes.plot(thresholds, values, color=colour(tint), linewidth=2, linestyle=dash, label=shown(name, 18))
        axes.plot(thresholds, everything, "--", color=colour("muted"), linewidth=1.2, label=names[0])
        axes.axhline(0, color=colour("muted"), linewidth=1.5, linestyle=":", label=names[1])
        top = max(float(np.max([values.max() for _, values in lines])), float(everything.max()), 1e-9)
        axes.set_ylim(-0.2 * top, 1.12 * top)
        axes.set_xlim(thresholds[0], thresholds[-1])
        share_axis(axes, "x", "")
        axes.grid(axis="y")
        axis_labels(axes, x_label, y_label)
        legend_above(axes, 1.1)
    return figure
