"""The mean of a value and its interval."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.intervals import wilson
from seefit.evaluation.means import mean_estimate


def test_a_share_has_the_interval_of_a_proportion() -> None:
    found = mean_estimate(np.arange(20) < 15)
    assert found.value == 0.75
    assert (found.low, found.high) == tuple(float(end) for end in wilson(0.75, 20))


def test_groups_widen_the_interval_and_one_group_tells_nothing_beyond_its_images() -> None:
    values, groups = np.arange(100) % 50 < 40, np.arange(100) // 10
    plain, grouped = mean_estimate(values), mean_estimate(values, groups)
    assert grouped.low is not None
    assert plain.low is not None
    assert grouped.low < plain.low
    alone = mean_estimate(values, np.zeros(100, int))
    assert (alone.low, alone.high) == (plain.low, plain.high)
    assert mean_estimate(values, np.arange(100)) == plain


def test_other_values_are_resampled() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean_estimate(values)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert found == mean_estimate(values)


def test_no_images_have_no_mean() -> None:
    assert mean_estimate([]).value is None
