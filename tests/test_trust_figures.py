"""The figures of trust show the numbers they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from seefit.drawing import colour, svg
from seefit.report.trust_figures import draw_selective, draw_unknown
from test_figures import points, texts, width


def test_the_curve_its_band_and_the_marked_point() -> None:
    shares = np.linspace(0.1, 1, 10)
    accuracy = 1 - 0.2 * shares
    figure = draw_selective(shares, accuracy, accuracy - 0.1, np.minimum(accuracy + 0.05, 1), 0.8, x_label="answered", y_label="right")
    axes: Any = figure.axes[0]
    assert points(axes.lines[0]) == (shares.tolist(), accuracy.tolist())
    assert points(axes.lines[1]) == ([shares[7]], [accuracy[7]])
    assert {"84\u00a0%", "answered", "right"} <= set(texts(figure))
    assert axes.get_ylim()[0] <= 0.7
    assert axes.get_ylim()[1] == 1
    assert width(figure) == 400
    assert "nan" not in svg(figure, "x").lower()


def test_one_point_is_a_curve_too() -> None:
    one = np.array([1.0])
    assert "svg" in svg(draw_selective(one, one, np.array([0.2]), one, 0.8), "x")


def test_bars_beyond_the_limit_have_the_colour_of_refusal() -> None:
    edges, images = np.linspace(-2, 4, 31), np.zeros(30)
    images[[8, 14, 16]] = 10, 4, 2  # at -0.3, 0.9 and 1.3
    figure = draw_unknown(edges, images, 1.0, limit_label="limit")
    axes: Any = figure.axes[0]
    heights = {round(bar.get_x() + bar.get_width() / 2, 1): (bar.get_height(), to_hex(bar.get_facecolor())) for bar in axes.patches}
    assert heights[-0.3] == (10, colour("middle"))
    assert heights[0.9] == (4, colour("middle"))
    assert heights[1.3] == (2, colour("bad"))
    assert axes.lines[0].get_xdata()[0] == 1
    assert "limit →" in texts(figure)
    assert axes.get_xlim()[1] < 3, "no room is spent on places without a picture"
