"""One explained picture as a figure: the picture, the heat map over it, what was said, the nearest training images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seefit.bundle.explanation import Explanation
from seefit.bundle.graph import Fit
from seefit.data.gallery import fonts
from seefit.drawing import blank, colour, place, shown, style
from seefit.report.overlay import overlay
from seefit.report.words import Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

WIDTH, EDGE, GAP = 520.0, 14.0, 16.0  # points
TILE, LITTLE = 238.0, 112.0
LINE = 17.0
SIDE_PX = 640  # larger pictures are made smaller before they are drawn


def draw_explained(
    picture: Pixels,
    explanation: Explanation,
    fit: Fit,
    words: Words,
    *,
    predictions: Sequence[dict[str, Any]],
    alike: Sequence[tuple[Pixels, str]],
) -> Figure:
    """Draw an explanation.

    Args:
        picture: (H, W, 3) uint8, upright.
        explanation: Of the answer to it.
        fit: How the square that the network saw was chosen.
        words: The language.
        predictions: ``{"label", "score"}`` of the likeliest classes, best first.
        alike: The nearest training images, each (h, w, 3) uint8 with what is written above it.

    Returns:
        A figure 520 points wide.
    """
    small = _small(picture, SIDE_PX)
    heat = overlay(small, explanation.map, fit, (picture.shape[1], picture.shape[0]))
    said = EDGE + LINE + TILE + GAP
    below = said + LINE * (len(predictions) + 2) + GAP
    height = below + (2 * LINE + LITTLE + EDGE if alike else 0.0)
    figure = blank(WIDTH, height)
    with style():
        heading = words("explained.heat", name=shown(explanation.label, 28))
        for at, (pixels, title) in enumerate(((small, words("explained.picture")), (heat, heading))):
            _tile(figure, pixels, title, EDGE + at * (TILE + GAP), EDGE + LINE, TILE)
        _lines(figure, predictions, explanation, words, said)
        if alike:
            _text(figure, words("explained.alike"), below, "muted")
        for at, (pixels, title) in enumerate(alike):
            _tile(figure, pixels, title, EDGE + at * (LITTLE + GAP / 2), below + 2 * LINE, LITTLE)
    return figure


def _small(picture: Pixels, side_px: int) -> Pixels:
    image = Image.fromarray(picture)
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _tile(figure: Figure, pixels: Pixels, title: str, left: float, top: float, side: float) -> None:
    height = figure.get_size_inches()[1] * 72
    axes = place(figure, left=left, bottom=height - top - side, right=WIDTH - left - side, top=top)
    axes.imshow(_small(pixels, SIDE_PX), interpolation="antialiased")
    axes.set_anchor("N")
    axes.set_title(title, size=9.5, pad=5, family=fonts(), color=colour("muted"))
    axes.set_axis_off()


def _lines(figure: Figure, predictions: Sequence[dict[str, Any]], explanation: Explanation, words: Words, top: float) -> None:
    for at, entry in enumerate(predictions):
        _text(figure, f"{shown(entry['label'], 40)}  {entry['score']:.1%}", top + at * LINE, "ink")
    if explanation.bias is None:
        told = words("explained.hiding"), words("explained.approximate")
    else:
        numbers = {"places": explanation.logit - explanation.bias, "fixed": explanation.bias, "score": explanation.logit}
        told = words("explained.speaks"), words("explained.exact", **{name: f"{number:+.2f}" for name, number in numbers.items()})
    for at, text in enumerate(told):
        _text(figure, text, top + (len(predictions) + at) * LINE, "muted")


def _text(figure: Figure, text: str, top: float, tint: str) -> None:
    height = figure.get_size_inches()[1] * 72
    figure.text(EDGE / WIDTH, 1 - top / height, text, size=10, va="top", family=fonts(), color=colour(tint))
