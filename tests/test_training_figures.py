from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seefit.report.training_figures import Panel, draw_training


def points(line: Any) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


@pytest.mark.parametrize("logarithmic", [False, True])
def test_both_lines_are_drawn_and_the_kept_place_is_marked(logarithmic: bool) -> None:
    places, train, held_out = np.array([0.1, 1.0, 10.0]), np.array([0.5, 0.3, 0.1]), np.array([0.6, 0.4, 0.5])
    panels = [Panel("loss", train, held_out), Panel("accuracy", 1 - train, 1 - held_out, share=True)]
    figure = draw_training(places, panels, 1, names=("own", "others"), x_label="strength", logarithmic=logarithmic)
    upper: Any = figure.axes[0]
    assert points(upper.lines[1]) == ([0.1, 1.0, 10.0], [0.5, 0.3, 0.1])
    assert points(upper.lines[2]) == ([0.1, 1.0, 10.0], [0.6, 0.4, 0.5])
    assert points(upper.lines[3]) == ([1.0], [0.4])
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["own", "others"]
    assert (upper.get_xlabel(), figure.axes[1].get_xlabel()) == ("", "strength")
    assert figure.axes[1].yaxis.get_major_formatter()(0.5, 0) == "50\u00a0%"


def test_without_validation_the_training_line_stands_alone() -> None:
    nothing = np.full(3, np.nan)
    figure = draw_training(np.arange(1.0, 4), [Panel("loss", np.array([3.0, 2, 1]), nothing)], 2)
    axes: Any = figure.axes[0]
    assert points(axes.lines[-1]) == ([3.0], [1.0])
    assert len(axes.lines) == 3
