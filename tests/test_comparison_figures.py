"""The figures of a comparison."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.drawing import svg
from seefit.report.comparison_figures import draw_curves, draw_front

VALUES = np.array([0.7, 0.8, 0.75])


@pytest.mark.parametrize(("costs", "scale"), [([10.0, 20.0, 30.0], "linear"), ([1.0, 20.0, 300.0], "log"), ([0.02, 0.02, 0.02], "linear")])
def test_costs_that_are_far_apart_have_equal_factors(costs: list[float], scale: str) -> None:
    figure = draw_front(np.array(costs), VALUES, VALUES - 0.1, VALUES + 0.1, [True, True, False])
    (axes,) = figure.axes
    assert axes.get_xscale() == scale
    low, high = axes.get_xlim()
    assert low < min(costs) <= max(costs) < high
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 2 <= len(ticks) <= 8
    assert [text.get_text() for text in axes.texts[:3]] == ["1", "2", "3"]


def test_only_those_worth_their_cost_are_filled_and_joined() -> None:
    figure = draw_front(np.array([3.0, 1.0, 2.0]), VALUES, VALUES, VALUES, [True, True, False])
    line, *dots = figure.axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [1.0, 3.0]
    assert [dot.get_markerfacecolor() == "none" for dot in dots] == [False, False, True]


def test_unknown_intervals_draw_a_dot_alone() -> None:
    nothing = np.full(3, np.nan)
    assert "<svg" in svg(draw_front(np.arange(1.0, 4.0), VALUES, nothing, nothing, [True] * 3), "front")


def test_every_model_has_its_own_line() -> None:
    thresholds = np.linspace(0.1, 0.9, 9)
    models = [(f"m{i}", np.full(9, 1.0 + i)) for i in range(8)]
    (axes,) = draw_curves(thresholds, models, np.linspace(2, -20, 9), names=("all", "none")).axes
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == len(axes.lines) == 10
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["all", "none", *(f"m{i}" for i in range(8))]
    low, high = axes.get_ylim()
    assert low < 0 < 8 < high, "all curves are seen, and not how deep acting on everything falls"
