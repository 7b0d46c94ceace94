"""Axes say shares as people do, and labels fit beside their rows."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.drawing import blank, place, style
from seefit.report.axes import floor_share, no_ticks, percent, row_labels, share_axis, whole_numbers


@pytest.mark.parametrize(("share", "text"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.5, "50 %"), (0.996, "99.6 %"), (1.0, "100 %")])
def test_a_share_is_never_rounded_to_none_or_all(share: float, text: str) -> None:
    assert percent(share) == text.replace(" ", "\u00a0")


def test_an_axis_of_shares_begins_at_a_round_share_below_its_values() -> None:
    assert floor_share(np.array([0.87, 0.93])) == 0.8
    assert floor_share(np.array([0.2, np.nan])) == 0.0
    assert floor_share(np.array([np.nan])) == 0.0


def test_long_names_are_cut_and_room_is_bounded() -> None:
    labels, room = row_labels(["cat", "a rather long name of a class that nobody can read"])
    assert labels[0] == "cat"
    assert len(labels[1]) == 27
    assert room == 180.0
    assert row_labels([])[1] == 40.0


def test_ticks_are_percents_or_whole_or_none() -> None:
    with style():
        axes = place(blank(400, 200), left=50, bottom=40, right=20, top=20)
        share_axis(axes, "x", "share")
        assert axes.xaxis.get_major_formatter()(0.25, 0) == "25\u00a0%"
        assert axes.get_xlabel() == "share"
    assert len(no_ticks().tick_values(0, 9)) == 0
    assert all(value == round(value) for value in whole_numbers(5).tick_values(0, 7))
