from __future__ import annotations

import numpy as np

from seefit.drawing import svg
from seefit.report.trust_figures import draw_selective, draw_unknown


def test_the_marked_share_is_told_beside_its_dot() -> None:
    shares = np.linspace(0.1, 1, 10)
    accuracy = np.linspace(1, 0.8, 10)
    text = svg(draw_selective(shares, accuracy, accuracy - 0.05, np.minimum(accuracy + 0.05, 1), 0.8), "selective", "alt")
    assert "84 %" in text.replace("\u00a0", " ")


def test_the_limit_is_drawn_and_named() -> None:
    edges = np.linspace(-3, 4, 29)
    images = np.zeros(28)
    images[8:14] = 5
    figure = draw_unknown(edges, images, 1.0, limit_label="refused")
    assert "refused" in svg(figure, "unknown", "alt")
    low, high = figure.axes[0].get_xlim()
    assert low < -1 and high > 1.9, "what is seen, and what lies around the limit"
