"""The pieces of the intervals, against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.intervals import (
    Estimate,
    effective_size,
    estimate,
    mirrored,
    paired_difference,
    percentile_interval,
    resamples,
    wilson,
    wilson_f1,
)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (20, 20), (0, 7), (7, 9), (580, 656)])
def test_wilson_is_that_of_scipy(k: int, n: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_nothing() -> None:
    low, high = wilson([0.5, np.nan], [0, 5])
    assert np.isnan(low).all()
    assert np.isnan(high).all()


def test_paired_difference_by_hand() -> None:
    """12 and 4 of 100, one more of each: 13/102 and 5/102."""
    half = 1.959964 * np.sqrt((18 / 102 - (8 / 102) ** 2) / 102)
    assert paired_difference(12, 4, 100) == pytest.approx((8 / 102 - half, 8 / 102 + half), abs=1e-6)


def test_a_paired_difference_is_never_certain_and_never_beyond_its_bounds() -> None:
    low, high = paired_difference(0, 0, 50)
    assert (low, high) == pytest.approx((-0.053, 0.053), abs=1e-3)
    assert paired_difference(30, 0, 30)[1] == 1
    assert paired_difference(0, 30, 30)[0] == -1
    assert paired_difference(0, 30, 30)[1] == pytest.approx(-paired_difference(30, 0, 30)[0])


@pytest.mark.parametrize("n", [10, 40])
def test_the_paired_difference_holds_the_truth_by_exact_count(n: int) -> None:
    from scipy.stats import multinomial

    pairs = np.array([(b, c) for b in range(n + 1) for c in range(n + 1 - b)])
    ends = np.array([paired_difference(int(b), int(c), n) for b, c in pairs])
    for gained, lost in [(0.02, 0.02), (0.1, 0.05), (0.3, 0.1), (0.3, 0.3), (0.6, 0.0), (0.05, 0.5)]:
        chances = multinomial.pmf(np.column_stack([pairs, n - pairs.sum(axis=1)]), n, [gained, lost, 1 - gained - lost])
        inside = (ends[:, 0] <= gained - lost) & (gained - lost <= ends[:, 1])
        assert chances[inside].sum() > 0.935


def test_f1_has_the_interval_of_the_share_that_it_is_a_function_of() -> None:
    low, high = wilson_f1(2 * 30 / (2 * 30 + 10), 40)  # 30 hits, 10 misses of either kind: J = 0.75
    share = wilson(0.75, 40)
    assert (low, high) == pytest.approx((2 * share[0] / (1 + share[0]), 2 * share[1] / (1 + share[1])))
    assert wilson_f1(1.0, 12)[1] == 1


def test_effective_size() -> None:
    assert effective_size([10, 10]) == pytest.approx(20)
    assert effective_size([10, 1000, 0]) == pytest.approx(4 / (1 / 10 + 1 / 1000))
    assert effective_size([0, 0]) == 0


def test_resamples_draw_whole_groups_and_go_on_across_chunks() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    drawn = np.concatenate(list(resamples(6, groups, replicates=30, seed=1)), axis=1)
    assert drawn.shape == (6, 30)
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[3] == drawn[5]).all()
    assert (drawn[[0, 2, 3]].sum(axis=0) == 3).all()
    narrow = list(resamples(6, None, replicates=5, seed=1, width=250_000))
    assert [chunk.shape for chunk in narrow] == [(6, 2), (6, 2), (6, 1)]
    assert all((chunk.sum(axis=0) == 6).all() for chunk in narrow)


def test_few_units_move_the_percentiles_out() -> None:
    samples = np.arange(10_001) / 10_000
    assert percentile_interval(samples, 100_000) == pytest.approx((0.025, 0.975), abs=1e-4)
    assert percentile_interval(samples, 100_000, wider=1.5) == pytest.approx((0.0016, 0.9984), abs=1e-4), "2.94 deviations"
    low, high = percentile_interval(samples, 9)
    # t with 8 degrees of freedom 2.306, times sqrt(9 / 8): 0.72 % of a normal distribution lie below.
    assert (low, high) == pytest.approx((0.00722, 0.99278), abs=1e-4)


def test_undefined_resamples_are_left_out_and_one_unit_tells_nothing() -> None:
    samples = np.array([[0.1, np.nan], [np.nan, np.nan], [0.3, np.nan]])
    low, high = percentile_interval(samples, 50)
    assert (low[0], high[0]) == pytest.approx((0.1, 0.3), abs=0.01)
    assert np.isnan(low[1])
    assert np.isnan(percentile_interval(samples[:, 0], 1)[0])


def test_mirrored_as_squares() -> None:
    assert mirrored(0.1, 0.12, 0.2) == pytest.approx((0.0, 0.1))
    assert mirrored(0.1, 0.08, 0.13) == pytest.approx((np.sqrt(0.02 - 0.0169), np.sqrt(0.02 - 0.0064)))


def test_estimate_never_holds_nan() -> None:
    assert estimate(np.nan, 0.1, 0.2) == Estimate(None, None, None)
    assert estimate(0.5, np.nan, 0.6) == Estimate(0.5, None, None)
    assert estimate(0.5, 0.4, 0.6).to_json() == {"value": 0.5, "low": 0.4, "high": 0.6}
