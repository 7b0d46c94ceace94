"""The figures of the map: dots by class, by mistake, and with augmented views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seefit.drawing import blank, colour, place, shown, style, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

WIDTH, HEIGHT = 400.0, 392.0  # points
EDGES = {"left": 8.0, "bottom": 8.0, "right": 8.0, "top": 24.0}  # points around the map itself
MARGIN = 0.02  # of the map's own range, so that no dot is cut
LONGEST_NAME = 22
LETTER = 11.5
MOST_NAMES = 20  # classes up to which the grey ones are named too


def spot(x: float, y: float) -> tuple[float, float]:
    """Return where a place of a map lies on its figure: from the left and from the top, in percent.

    Args:
        x: From 0 to 1, to the right.
        y: From 0 to 1, upwards.
    """
    across, up = ((value + MARGIN) / (1 + 2 * MARGIN) for value in (x, y))
    left = EDGES["left"] + across * (WIDTH - EDGES["left"] - EDGES["right"])
    top = EDGES["top"] + (1 - up) * (HEIGHT - EDGES["top"] - EDGES["bottom"])
    return 100 * left / WIDTH, 100 * top / HEIGHT


def draw_classes(x: Floats, y: Floats, labels: Counts, coloured: Sequence[int], names: Sequence[str], *, rest: str = "others") -> Figure:
    """Draw one dot per image in the colour of its class, and the class's name where its dots lie closest.

    Args:
        x: (N,) places, 0 to 1.
        y: (N,) places, 0 to 1.
        labels: (N,) class numbers.
        coloured: Classes with a colour of their own, at most eight; all others are grey.
        names: Names of all classes.
        rest: What the grey dots are called.
    """
    figure, axes = _map()
    with style():
        grey = ~np.isin(labels, coloured)
        _dots(axes, x[grey], y[grey], "muted", 0.7 * _size(len(x)))
        order = sorted(range(len(coloured)), key=lambda i: -int((labels == coloured[i]).sum()))
        for i in order:  # small classes last, on top
            own = labels == coloured[i]
            _dots(axes, x[own], y[own], f"class-{i + 1}", _size(len(x)))
        tints = {c: f"class-{i + 1}" for i, c in enumerate(coloured)}
        named = np.unique(labels).tolist() if len(names) <= MOST_NAMES else coloured
        _write_names(axes, [_tag(x, y, labels, c, names[c], tints.get(c, "muted")) for c in sorted(named, key=lambda c: c not in tints)])
        if grey.any():
            axes.annotate(rest, (1, 1), (0, 6), xycoords="axes fraction", textcoords="offset points", ha="right", color=colour("muted"))
    return figure


def draw_mistakes(x: Floats, y: Floats, right: Flags, wrong: Flags, *, words: tuple[str, str, str]) -> Figure:
    """Draw a cross for each image that was named wrong, a dot for each that was named right, a pale one for all others.

    Args:
        x: (N,) places, 0 to 1.
        y: (N,) places, 0 to 1.
        right: (N,) whether it was judged and named right.
        wrong: (N,) whether it was judged and named wrong.
        words: What right, wrong and other dots are called.
    """
    from matplotlib.lines import Line2D

    figure, axes = _map()
    with style():
        others = ~(right | wrong)
        size = _size(len(x))
        _dots(axes, x[others], y[others], "faint", size)
        _dots(axes, x[right], y[right], "accent", size)
        _crosses(axes, x[wrong], y[wrong], "bad")
        looks: list[dict[str, Any]] = [
            {"marker": "o", "color": colour("accent"), "markersize": 6},
            {"marker": "x", "color": colour("bad"), "markersize": 7, "markeredgewidth": 2},
            {"marker": "o", "color": colour("faint"), "markersize": 6},
        ]
        there = [flags.any() for flags in (right, wrong, others)]
        keys = [Line2D([], [], linestyle="", label=word, **look) for word, look, drawn in zip(words, looks, there, strict=True) if drawn]
        axes.legend(
            handles=keys,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=3,
            frameon=False,
            borderaxespad=0,
            handlelength=1,
            columnspacing=1.4,
        )
    return figure


def draw_views(x: Floats, y: Floats, labels: Counts, views: int, coloured: Sequence[int], names: Sequence[str]) -> Figure:
    """Draw images as large dots, their changed views as small ones, each tied to the image it comes from.

    Args:
        x: (M * views,) places, 0 to 1: of each image first its own, then those of its changed views.
        y: Likewise.
        labels: (M * views,) class numbers.
        views: Views of an image, its own among them.
        coloured: As in `draw_classes`.
        names: Likewise.
    """
    figure, axes = _map()
    with style():
        own = np.arange(0, len(x), views)
        changed = np.setdiff1d(np.arange(len(x)), own)
        origin = changed // views * views
        _segments(axes, x[origin], y[origin], x[changed], y[changed], colour("line"), 0.7)
        tints = {c: f"class-{i + 1}" for i, c in enumerate(coloured)}
        for c in np.unique(labels).tolist():
            large, small = own[labels[own] == c], changed[labels[changed] == c]
            _dots(axes, x[small], y[small], tints.get(c, "muted"), 2.6)
            _dots(axes, x[large], y[large], tints.get(c, "muted"), 6.5)
        _write_names(axes, [_tag(x, y, labels, c, names[c], tints[c]) for c in coloured if (labels == c).any()])
    return figure


def _map() -> tuple[Figure, Axes]:
    figure = blank(WIDTH, HEIGHT)
    with style():
        axes = place(figure, **EDGES)
        axes.set_xlim(-MARGIN, 1 + MARGIN)
        axes.set_ylim(-MARGIN, 1 + MARGIN)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(True)  # a frame, since the axes say nothing
    return figure, axes


def _size(count: int) -> float:
    """Return how wide dots are in points, the narrower the more there are."""
    return float(np.clip(60 / np.sqrt(max(count, 1)), 3.0, 7.0))


def _dots(axes: Axes, x: Floats, y: Floats, tint: str, width: float) -> None:
    _segments(axes, x, y, x + 1e-4, y, colour(tint), width, cap="round")


def _crosses(axes: Axes, x: Floats, y: Floats, tint: str) -> None:
    arm = 3.2 / (WIDTH - EDGES["left"] - EDGES["right"])
    for rise in (arm, -arm):
        _segments(axes, x - arm, y - rise, x + arm, y + rise, colour(tint), 2.0)


def _segments(axes: Axes, x: Floats, y: Floats, to_x: Floats, to_y: Floats, tint: str, width: float, *, cap: Any = "butt") -> None:
    """Draw many lines as one path: thousands of dots would else be thousands of elements of the page."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(x):
        return
    corners = np.stack([np.stack([x, y], 1), np.stack([to_x, to_y], 1)], 1).reshape(-1, 2)
    path = Path(corners, np.tile([Path.MOVETO, Path.LINETO], len(x)))
    path.should_simplify = False  # it would take dots for nothing
    axes.add_patch(PathPatch(path, fill=False, edgecolor=tint, linewidth=width, capstyle=cap))


def _tag(x: Floats, y: Floats, labels: Counts, label: int, name: str, tint: str) -> tuple[str, str, float, float]:
    """Return a class's name as it is written, its colour, and where."""
    return shown(name, LONGEST_NAME), tint, *_densest(x[labels == label], y[labels == label])


def _densest(x: Floats, y: Floats) -> tuple[float, float]:
    """Return the point of a class that has its nearest fellows, an eighth of the class, closest."""
    places = np.stack([x, y], 1)
    sample = places[:: max(1, len(places) // 500)]
    apart = np.sort(np.linalg.norm(sample[:, None] - sample[None], axis=2), axis=1)
    best = sample[apart[:, : max(3, len(sample) // 8)].mean(1).argmin()]
    return float(best[0]), float(best[1])


def _write_names(axes: Axes, tags: Sequence[tuple[str, str, float, float]]) -> None:
    """Write each name over its place; one that would lie on another moves up or down."""
    wide, high = WIDTH - EDGES["left"] - EDGES["right"], HEIGHT - EDGES["top"] - EDGES["bottom"]
    line = (LETTER + 3) / high
    taken: list[tuple[float, float, float]] = []
    for name, tint, x, y in tags:
        half = text_width(name, LETTER) / wide / 2
        left = min(max(x, half), 1 - half)
        heights = (y + step * sign * line for step in range(30) for sign in (1, -1))
        free = (v for v in heights if 0 <= v <= 1 and all(abs(v - other) >= line or abs(left - u) > half + w for u, other, w in taken))
        taken.append((left, next(free, y), half))
        axes.text(*taken[-1][:2], name, color=colour(tint), size=LETTER, weight="bold", ha="center", va="center")
