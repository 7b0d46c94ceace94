"""Which classes are taken for which: the matrix, and the pairs that are mixed up most often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seefit.drawing import blank, colour, place, shown, style, svg, text_width
from seefit.evaluation.confusion import cluster_order, confused_pairs, confusion_matrix, most_mistaken
from seefit.report.axes import Counts, percent, row_labels
from seefit.report.page import Picture, Section, Table
from seefit.report.record import Record
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LARGEST_MATRIX = 40  # classes whose matrix can still be read; of more, those with the most mistakes are drawn
WORST_CLASSES = 30
FEW_CLASSES = 10  # up to so many stay in their stored order
MOST_PAIRS = 15


def confusion_section(record: Record, words: Words) -> Section | None:
    """Which classes are taken for which."""
    if not record.predictions:
        return None
    classes, position = record.classes, {name: i for i, name in enumerate(record.classes)}
    labels, predicted = (np.array([position[getattr(row, side)] for row in record.predictions]) for side in ("label", "predicted"))
    pairs, images = confused_pairs(labels, predicted), np.bincount(labels, minlength=len(classes))
    tables = [(words("confusion.pairs"), _pairs_table(words, classes, pairs, images))] if pairs and len(classes) > 2 else []
    drawn, counts = readable_part(labels, predicted, len(classes))
    if not pairs and len(drawn) < len(classes):
        return Section("confusion", words("confusion.title"), [words("confusion.says_none", right=f"{len(labels):,}")])
    lead = [words("confusion.lead")]
    if len(drawn) < len(classes):
        lead.append(words("confusion.lead_many", count=f"{len(classes):,}", shown=len(drawn)))
    if len(drawn) > FEW_CLASSES:
        lead.append(words("confusion.order"))
    says = _says(words, classes, pairs, int((labels == predicted).sum()), len(labels))
    picture = _picture(words, [classes[i] for i in drawn], counts, images[drawn], says)
    return Section("confusion", words("confusion.title"), lead, [picture], tables)


def readable_part(labels: Counts, predicted: Counts, classes: int) -> tuple[list[int], Counts]:
    """Return the classes whose matrix is drawn, and that matrix.

    Args:
        labels: (N,) actual classes.
        predicted: (N,) classes named.
        classes: How many there are.

    Returns:
        All classes up to 40, else the 30 with the most mistakes (the first 30 without any); beyond ten
        in an order that puts those that are mixed up side by side.
    """
    worst = most_mistaken(labels, predicted, classes, WORST_CLASSES) or list(range(WORST_CLASSES))
    drawn = worst if classes > LARGEST_MATRIX else list(range(classes))
    counts = _within(labels, predicted, drawn)
    if len(drawn) <= FEW_CLASSES:
        return drawn, counts
    order = cluster_order(counts)
    return [drawn[i] for i in order], counts[np.ix_(order, order)]


def _within(labels: Counts, predicted: Counts, drawn: list[int]) -> Counts:
    """Return the matrix of some classes only."""
    places = np.full(int(max(labels.max(), predicted.max(), *drawn)) + 1, -1)
    places[drawn] = np.arange(len(drawn))
    inside = (places[labels] >= 0) & (places[predicted] >= 0)
    return confusion_matrix(places[labels[inside]], places[predicted[inside]], len(drawn))


def _pairs_table(words: Words, classes: list[str], pairs: list[tuple[int, int, int]], images: Counts) -> Table:
    rows = [
        [shown(classes[actual], 60), shown(classes[said], 60), f"{count:,}", words.percent(count / images[actual])]
        for actual, said, count in pairs[:MOST_PAIRS]
    ]
    return Table([words("head.actual"), words("head.predicted"), words("head.images"), words("head.share_of_actual")], rows)


def _says(words: Words, classes: list[str], pairs: list[tuple[int, int, int]], right: int, total: int) -> str:
    if not pairs:
        return words("confusion.says_none", right=f"{right:,}")
    actual, said, count = pairs[0]
    return words(
        "confusion.says",
        right=f"{right:,}",
        total=f"{total:,}",
        count=f"{count:,}",
        actual=shown(classes[actual], 40),
        predicted=shown(classes[said], 40),
    )


def _picture(words: Words, names: list[str], counts: Counts, totals: Counts, says: str) -> Picture:
    drawn = draw_confusion(counts, names, totals, x_label=words("axis.predicted"), y_label=words("axis.actual"))
    table = Table(
        [words("head.actual_predicted"), *(shown(name, 40) for name in names)],
        [[shown(name, 40), *(f"{n:,}" for n in counts[i])] for i, name in enumerate(names)],
    )
    return Picture("confusion", svg(drawn, "confusion", words("confusion.alt", count=len(names))), says, table, wide=len(names) > 8)


def draw_confusion(
    counts: Counts,
    classes: Sequence[str],
    totals: Counts | None = None,
    *,
    x_label: str = "the model said",
    y_label: str = "really is",
) -> Figure:
    """Draw a confusion matrix; shades are shares of a row, numbers are images.

    Args:
        counts: (K, K) numbers of images; row: the actual class, column: the predicted one.
        classes: K names.
        totals: (K,) images of each class, where the columns do not hold all of them.
        x_label: Words above the columns.
        y_label: Words above the rows' names.

    Returns:
        A figure as wide as its cells need, at least 320 points.
    """
    size = len(classes)
    labels, left = row_labels(classes)
    cell = max(20.0, min(74.0, 340 / size))
    slanted = size > 2 and max(text_width(label) for label in labels) > cell
    top = 34 + (0.72 * (left - 14) if slanted else 12)
    right = max(14.0, 0.72 * (left - 14) - cell / 2 + 10 if slanted else 14.0)
    figure = blank(max(320.0, left + cell * size + right), top + cell * size + 10)
    with style():
        spare = figure.get_size_inches()[0] * 72 - left - cell * size
        axes = place(figure, left=left, bottom=10, right=spare, top=top)
        _confusion_cells(axes, counts, counts.sum(axis=1) if totals is None else totals, cell)
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


def _confusion_cells(axes: Axes, counts: Counts, totals: Counts, cell: float) -> None:
    """Shade and number the cells that hold images: one collection for all, since 30 classes have 900 cells."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba

    shares = counts / np.maximum(totals[:, None], 1)
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
            axes.text(c + 0.5, r + 0.74, percent(float(shares[r, c])), ha="center", va="center", size=9.5)
