"""Figures show the numbers they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from seefit.drawing import svg
from seefit.report.figures import (
    draw_balance,
    draw_balance_ranks,
    draw_intervals,
    draw_reliability,
)


def texts(figure: Figure) -> list[str]:
    return [item.get_text() for item in figure.findobj(Text) if item.get_visible() and item.get_text()]


def points(line: Any) -> tuple[list[float], list[float]]:
    return list(line.get_xdata()), list(line.get_ydata())


def width(figure: Figure) -> float:
    return float(figure.get_size_inches()[0] * 72)


def test_intervals_put_a_dot_at_each_value_and_a_bar_over_its_interval() -> None:
    values, lows, highs = np.array([0.9, 0.5]), np.array([0.85, 0.4]), np.array([0.95, 0.6])
    figure = draw_intervals(["猫", "dog"], values, lows, highs, references=np.array([0.5, np.nan]), reference_label="guess")
    axes: Any = figure.axes[0]
    assert points(axes.lines[0])[0] == [0.9, 0.5]
    bars = axes.collections[0].get_segments()
    assert [(bar[0][0], bar[1][0]) for bar in bars] == [(0.85, 0.95), (0.4, 0.6)]
    assert len(axes.collections[1].get_segments()) == 1, "a row without a baseline has no tick"
    assert {"90\u00a0%", "50\u00a0%", "guess", "猫", "dog"} <= set(texts(figure))


def test_an_unknown_interval_is_a_dot_without_a_bar() -> None:
    figure = draw_intervals(["a", "b"], np.array([0.3, 0.5]), np.array([np.nan, 0.4]), np.array([np.nan, 0.6]))
    assert points(figure.axes[0].lines[0])[0] == [0.3, 0.5]
    assert figure.axes[0].get_xlim()[0] < 0.3
    assert "nan" not in svg(figure, "x").lower()


def test_axis_of_shares_starts_below_everything_it_shows() -> None:
    figure = draw_intervals(["a"], np.array([0.9]), np.array([0.88]), np.array([0.93]), references=np.array([0.31]))
    assert figure.axes[0].get_xlim()[0] < 0.31


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.996, "99.6 %"), (0.9999, "99.9 %"), (1.0, "100 %")]
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, text: str) -> None:
    figure = draw_intervals(["a"], np.array([share]), np.array([share]), np.array([share]))
    assert figure.axes[0].texts[0].get_text() == text.replace(" ", "\u00a0")


def test_balance_bars_end_in_the_sum() -> None:
    figure = draw_balance(["cat", "dog"], {"train": np.array([70, 7]), "val": np.array([20, 2]), "test": np.array([1000, 1])})
    assert {"1,090", "10", "train", "val", "test"} <= set(texts(figure))


def test_balance_of_many_classes_is_a_short_drawing() -> None:
    counts = np.random.default_rng(0).integers(1, 500, 10_000)
    figure = draw_balance_ranks(counts)
    _, line = points(figure.axes[0].lines[0])
    assert line[0] == counts.max()
    assert line[-1] == counts.min()
    assert len(svg(figure, "ranks")) < 60_000


def test_reliability_draws_the_bins_and_their_sizes() -> None:
    said, right = np.array([0.55, 0.95]), np.array([0.4, 0.97])
    figure = draw_reliability(said, right, right - 0.1, np.minimum(right + 0.1, 1), np.array([12, 3400]))
    assert points(figure.axes[0].lines[1])[1] == [0.4, 0.97]
    assert {"12", "3,400"} <= set(texts(figure))
    assert figure.axes[0].get_ylim()[0] <= 0.3


def test_names_without_glyphs_in_the_drawing_font_raise_no_warning() -> None:
    figure = draw_balance(["暹罗猫", "🐈", "$x_1$"], {"train": np.array([3, 2, 1])})
    assert "暹罗猫" in svg(figure, "x")
