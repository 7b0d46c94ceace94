"""A drawing of a network: its stages from top to bottom, the shape that each gives, and what each costs."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seefit.drawing import blank, colour, place, shown, style
from seefit.models.summary import CONTAINERS, Layer, Summary, merge, trunk

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, ROW, TOP = 620.0, 48.0, 76.0  # points
SHAPES = 268.0  # where the shapes stand, their middle
LONGEST = 37  # characters of a line of names
LEGEND = "A block is as wide as its map has pixels a side and as high as it has channels, both on logarithmic scales."


@dataclass(frozen=True)
class _Block:
    """A block of the trunk: what it costs, and what keeps it apart from its neighbours."""

    layer: Layer
    group: str
    side: int


def stages(summary: Summary) -> list[Layer]:
    """Return a network's blocks as stages: neighbours of one plain sequence, or loose ones, with maps of one size.

    Args:
        summary: From `seefit.models.summary.summarise`.

    Returns:
        In the order in which they begin to run; their parameters and multiply-adds sum to the whole. The type says what
        a stage is made of: ``3 x Bottleneck``.
    """
    blocks = [_block(summary, name, layers) for name, layers in _by_block(summary).items()]
    groups = [list(group) for _, group in itertools.groupby(blocks, key=lambda block: (block.group, block.side))]
    times = Counter(group[0].group for group in groups)
    return [_stage(group, alone=times[group[0].group] == 1) for group in groups]


def draw_network(summary: Summary, title: str) -> Figure:
    """Draw a network's stages, one a row, with the shape of what each gives, its parameters and its multiply-adds.

    A shape is as wide as the map has pixels a side (a row of tokens counts as if laid in a square) and as high as it has
    channels, both on logarithmic scales; a vector is a slim one.

    Args:
        summary: From `seefit.models.summary.summarise`.
        title: Name of the network.

    Returns:
        A figure 620 points wide whose height grows with the number of stages.
    """
    rows = [Layer("input", "", summary.input, 0, 0, 0), *stages(summary)]
    height = TOP + ROW * len(rows) + 30
    figure = blank(WIDTH, height)
    with style():
        axes = place(figure, left=0, bottom=0, right=0, top=0)
        axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        _head(axes, summary, title)
        axes.text(16, height - 10, LEGEND, color=colour("muted"), size=9)
        edges = [_draw_shape(axes, row, _middle(i), rows) for i, row in enumerate(rows) if row.output]
        for (_, above), (below, _) in itertools.pairwise(edges):
            _arrow(axes, above, below)
        for i, row in enumerate(rows):
            _draw_words(axes, row, _middle(i))
            if i:
                _cost(axes, row.parameters, summary.parameters, _middle(i), right=506)
                _cost(axes, row.multiply_adds, summary.multiply_adds, _middle(i), right=604)
    return figure


def short(number: int) -> str:
    """Return a number in three digits: ``25.6 M``.

    Example:
        >>> short(25_557_032), short(850), short(0)
        ('25.6 M', '850', '0')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:
            value = number / size
            digits = max(0, 2 - math.floor(math.log10(max(value, 1)) + 1e-9))
            return f"{value:.{digits}f} {unit}"
    return str(number)


def shape_text(output: tuple[int, ...]) -> str:
    """Return a shape as height × width × channels; vectors and rows of tokens as they are; a dash for none.

    Example:
        >>> shape_text((64, 56, 56)), shape_text((1000,))
        ('56 × 56 × 64', '1000')
    """
    side, channels = _size(output)
    if side > 0:
        return f"{side} × {side} × {channels}"
    whole = (1, 1, channels) if len(output) == 3 and output[1:] == (1, 1) else output
    return " × ".join(map(str, whole)) or "–"


def _by_block(summary: Summary) -> dict[str, list[Layer]]:
    """Return the layers of each block of the trunk, in running order; what lies outside is a block of its own."""
    blocks = set(trunk(summary.types))
    found: dict[str, list[Layer]] = {}
    for layer in summary.layers:
        parts = layer.name.split(".")
        above = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
        found.setdefault(next((name for name in above if name in blocks), layer.name), []).append(layer)
    return found


def _block(summary: Summary, name: str, layers: Sequence[Layer]) -> _Block:
    layer = merge(name, summary.types[name], summary.outputs.get(name) if name else (), layers)
    parent = name.rpartition(".")[0]
    inside = any(other.startswith(f"{name}.") for other in summary.types)
    apart = bool(parent) and summary.types[parent] in CONTAINERS and inside
    return _Block(layer, parent if apart else "", _size(layer.output)[0])


def _stage(group: Sequence[_Block], *, alone: bool) -> Layer:
    first, last = group[0].layer, group[-1].layer
    name = group[0].group if alone and group[0].group else first.name if len(group) == 1 else f"{first.name} – {last.name}"
    counts = Counter(block.layer.type for block in group)
    kinds = ", ".join(f"{number} x {kind}" if number > 1 else kind for kind, number in counts.items())
    return merge(name or "weights of its own", kinds, last.output, [block.layer for block in group])


def _size(output: tuple[int, ...]) -> tuple[int, int]:
    """Return side and channels of a map, whose channels may come first or last; side 0 for vectors, below 0 for rows of tokens."""
    if len(output) == 3 and output[1] == output[2]:
        return (output[1] if output[1] > 1 else 0), output[0]
    if len(output) == 3 and output[0] == output[1]:
        return (output[0] if output[0] > 1 else 0), output[2]
    return (-output[0] if len(output) == 2 else 0), (output[-1] if output else 0)


def _middle(row: int) -> float:
    return TOP + ROW * (row + 0.5)


def _head(axes: Axes, summary: Summary, title: str) -> None:
    facts = f"{short(summary.parameters)} parameters · {short(summary.multiply_adds)} multiply-adds · input {shape_text(summary.input)}"
    axes.text(16, 24, shown(title, 60), size=15, weight="bold")
    axes.text(16, 45, facts, color=colour("muted"), size=10.5)
    for x, words in ((338, "output"), (506, "parameters"), (604, "multiply-adds")):
        axes.text(x, TOP - 6, words, color=colour("muted"), size=9.5, ha="left" if x == 338 else "right")


def _draw_words(axes: Axes, row: Layer, y: float) -> None:
    axes.text(16, y - 3 if row.type else y + 4, shown(row.name, LONGEST - 6), size=11, weight="bold")
    axes.text(16, y + 12, shown(row.type, LONGEST), size=9.5, color=colour("muted"))
    axes.text(338, y + 4, shape_text(row.output), size=11)


def _draw_shape(axes: Axes, row: Layer, y: float, rows: Sequence[Layer]) -> tuple[float, float]:
    """Draw the shape of a stage's output and return where it begins and ends."""
    from matplotlib.patches import Rectangle

    side, channels = _size(row.output)
    largest = max(_size(other.output)[0] for other in rows)
    most = max(_size(other.output)[1] for other in rows)
    width = 8 + 82 * _share(side if side > 0 else math.isqrt(-side), largest)
    height = 5 + 23 * _share(channels, most)
    tint = "middle" if row.name == "input" and not row.type else "accent"
    axes.add_patch(Rectangle((SHAPES - width / 2, y - height / 2), width, height, facecolor=colour(tint), edgecolor="none"))
    return y - height / 2, y + height / 2


def _share(value: int, largest: int) -> float:
    return math.log2(max(value, 1)) / math.log2(max(largest, 2))


def _arrow(axes: Axes, start: float, end: float) -> None:
    axes.plot([SHAPES, SHAPES], [start + 2, end - 5], color=colour("muted"), linewidth=1)
    axes.fill([SHAPES - 3, SHAPES + 3, SHAPES], [end - 6, end - 6, end - 1], color=colour("muted"), linewidth=0)


def _cost(axes: Axes, amount: int, total: int, y: float, *, right: float) -> None:
    """Write a number and below it a bar as long as its share of the whole."""
    axes.text(right, y + 2, short(amount) if amount else "–", size=11, ha="right")
    if amount and total:
        axes.barh([y + 10], [-80 * amount / total], left=right, height=4, color=colour("middle"))
