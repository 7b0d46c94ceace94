"""The figures of a search."""

from __future__ import annotations

import numpy as np

from seefit.report.tuning_figures import draw_history, draw_importance


def test_the_history_shows_every_trial_and_the_best_so_far() -> None:
    scores = np.array([0.6, np.nan, 0.7, np.nan, 0.65])
    axes = draw_history(scores, np.array([0.6, 0.5, 0.7, np.nan, 0.65])).axes[0]
    dots, crosses, line, star = axes.lines
    assert np.asarray(dots.get_xdata()).tolist() == [1, 3, 5]
    assert np.asarray(crosses.get_xdata()).tolist() == [2, 4]
    assert np.asarray(line.get_ydata()).tolist() == [0.6, 0.6, 0.7, 0.7, 0.7]
    assert np.asarray(star.get_xdata()).tolist() == [3]
    assert len(draw_history(np.array([0.6]), np.array([0.6])).axes[0].lines) == 3


def test_importance_is_drawn_with_its_shares() -> None:
    axes = draw_importance(["a", "b"], np.array([0.75, 0.25])).axes[0]
    assert [text.get_text() for text in axes.texts] == ["75\u00a0%", "25\u00a0%"]
