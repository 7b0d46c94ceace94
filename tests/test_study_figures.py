"""The figures of a study."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.report.study_figures import draw_arms, draw_differences, signed


def test_arms_show_their_folds_and_mean() -> None:
    figure = draw_arms(["a", "b"], [np.array([0.7, 0.8]), np.array([0.9, 0.8])])
    axes = figure.axes[0]
    assert [float(np.asarray(line.get_xdata())[0]) for line in axes.lines[1::2]] == pytest.approx([0.75, 0.85])
    assert [text.get_text() for text in axes.texts] == ["75\u00a0%", "85\u00a0%"]


def test_differences_stand_about_a_line_and_their_colour_says_what_is_sure() -> None:
    values, lows, highs = np.array([[0.02, 0.01, 0.03], [0.0, -0.01, 0.01], [-0.03, -0.04, -0.02]]).T
    figure = draw_differences(["a", "b", "c"], values, lows, highs, ["helps", "not shown", "hurts"])
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    assert low == -high
    assert high > 4
    tints = axes.collections[1].get_facecolor()
    assert len(np.unique(tints, axis=0)) == 3
    unsure = draw_differences(["a", "b"], values[:2], lows[:2], highs[:2], ["not shown"] * 2).axes[0].collections[1].get_facecolor()
    assert len(np.unique(unsure, axis=0)) == 1, "an interval on one side alone shows nothing where several arms are tried"
    assert [text.get_text() for text in axes.texts][:3] == ["+2.0", "+0.0", "−3.0"]


def test_no_difference_at_all_can_be_drawn() -> None:
    assert draw_differences(["a"], np.zeros(1), np.zeros(1), np.zeros(1), ["not shown"]).axes[0].get_xlim()[1] > 0


@pytest.mark.parametrize(("share", "text"), [(0.012, "+1.2"), (-0.012, "−1.2"), (0.0, "+0.0")])
def test_differences_are_written_with_their_sign(share: float, text: str) -> None:
    assert signed(share) == text
