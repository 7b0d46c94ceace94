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

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pixels = NDArray[np.uint8]

WIDTH, EDGE, GAP = 520.0, 14.0, 16.0  # points
TILE, LITTLE = 238.0, 112.0
LINE = 17.0
SIDE_PX = 640  # larger pictures are made smaller before they are drawn


def draw_explained(
    picture: Pixels, explanation: Explanation, fit: Fit, *, predictions: Sequence[dict[str, Any]], alike: Sequence[tuple[Pixels, str]]
) -> Figure:
    """Draw an explanation.

    Args:
        picture: (H, W, 3) uint8, upright.
        explanation: Of the answer to it.
        fit: How the square that the network saw was chosen.
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
        for at, (pixels, title) in enumerate(((small, "the picture"), (heat, f"heat map for “{shown(explanation.label, 28)}”"))):
            _tile(figure, pixels, title, EDGE + at * (TILE + GAP), EDGE + LINE, TILE)
        _lines(figure, predictions, explanation, said)
        if alike:
            _text(figure, "the most similar training images", below, "muted")
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


def _lines(figure: Figure, predictions: Sequence[dict[str, Any]], explanation: Explanation, top: float) -> None:
    for at, entry in enumerate(predictions):
        _text(figure, f"{shown(entry['label'], 40)}  {entry['score']:.1%}", top + at * LINE, "ink")
    if explanation.bias is None:
        key = "orange: hiding the place lowers the score of the class; blue: it raises it"
        told = "approximate: a grey patch was laid over one place after the other"
    else:
        places = explanation.logit - explanation.bias
        key = "orange: speaks for the class; blue: against it; grey: no matter"
        told = f"exact: places {places:+.2f} and the fixed number {explanation.bias:+.2f} make the score {explanation.logit:+.2f}"
    for at, text in enumerate((key, told)):
        _text(figure, text, top + (len(predictions) + at) * LINE, "muted")


def _text(figure: Figure, text: str, top: float, tint: str) -> None:
    height = figure.get_size_inches()[1] * 72
    figure.text(EDGE / WIDTH, 1 - top / height, text, size=10, va="top", family=fonts(), color=colour(tint))
