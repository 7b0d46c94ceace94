"""Accuracy when only the surest answers count."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.selective import POINTS, confidence_for, selective_curve, share_at


def test_the_surest_come_first() -> None:
    curve = selective_curve([0.6, 0.9, 0.7, 0.8], [False, True, False, True])
    assert curve.shares.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.accuracy == pytest.approx([1, 1, 2 / 3, 0.5])
    assert curve.area.value == pytest.approx((1 + 1 + 2 / 3 + 0.5) / 4)
    assert (curve.low <= curve.accuracy).all()
    assert (curve.high >= curve.accuracy).all()


def test_where_confidence_says_nothing_the_curve_is_flat() -> None:
    rng = np.random.default_rng(0)
    curve = selective_curve(rng.random(4000), rng.random(4000) < 0.8)
    assert len(curve.shares) == POINTS
    assert curve.accuracy[20:] == pytest.approx(0.8, abs=0.04)
    assert curve.area.value == pytest.approx(0.8, abs=0.03)


def test_an_honest_model_is_right_more_often_where_it_is_surer() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.5, 1, 3000)
    curve = selective_curve(sure, rng.random(3000) < sure)
    accuracy, low, high = share_at(curve, 0.5)
    assert accuracy == pytest.approx(0.875, abs=0.03)  # the mean of 0.75 to 1
    assert low < accuracy < high
    assert curve.area.low is not None
    assert curve.area.high is not None
    assert curve.area.value is not None
    assert curve.area.low < curve.area.value < curve.area.high
    assert curve.area.high - curve.area.low < 0.04


def test_equals_are_in_an_order_by_chance() -> None:
    """Images of one class that come first in a table must not count as surer."""
    curve = selective_curve(np.full(2000, 0.9), np.arange(2000) < 1000)
    assert curve.accuracy[30:] == pytest.approx(0.5, abs=0.07)


def test_groups_widen_the_band() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(20), 50)
    right = rng.random(1000) < rng.uniform(0.4, 1, 20)[groups]
    sure = rng.random(1000)
    plain, grouped = selective_curve(sure, right), selective_curve(sure, right, groups=groups)
    assert (grouped.high - grouped.low)[-1] > 1.5 * (plain.high - plain.low)[-1]
    assert grouped.accuracy.tolist() == plain.accuracy.tolist()


def test_one_image() -> None:
    curve = selective_curve([0.7], [True])
    assert curve.accuracy.tolist() == [1.0]
    assert curve.low[0] < 0.5
    assert curve.area.low is None


def test_the_confidence_that_answers_a_share() -> None:
    assert confidence_for(np.arange(1, 11) / 10, 0.8) == pytest.approx(0.2)
    assert confidence_for([0.5], 0.8) == 0.5
