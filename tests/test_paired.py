"""Differences on the same images and the same folds, against formulas by hand, scipy, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seefit.evaluation.intervals import Estimate, estimate, paired_difference
from seefit.evaluation.metrics import judge, resample_figures
from seefit.evaluation.paired import corrected_t, figure_differences, holm, mcnemar, paired_interval, verdict

FOLDS = np.array([0.02, -0.01, 0.03, 0.00, 0.01, 0.02])


def test_the_corrected_t_is_nadeau_and_bengios() -> None:
    from scipy.stats import t

    found = corrected_t(FOLDS, 0.5)
    error = math.sqrt((1 / 6 + 0.5) * FOLDS.var(ddof=1))
    assert found.value == pytest.approx(FOLDS.mean())
    assert found.p == pytest.approx(2 * t.sf(FOLDS.mean() / error, 5))
    assert (found.low, found.high) == pytest.approx(t.interval(0.95, 5, FOLDS.mean(), error))
    assert found.folds == 6
    assert found.effect == pytest.approx(FOLDS.mean() / FOLDS.std(ddof=1))


def test_the_detectable_difference_is_found_80_times_in_100() -> None:
    from scipy.stats import nct, t

    found = corrected_t(FOLDS, 0.5)
    error = math.sqrt((1 / 6 + 0.5) * FOLDS.var(ddof=1))
    assert nct.sf(t.ppf(0.975, 5), 5, found.detectable / error) == pytest.approx(0.8, abs=1e-6)
    several = corrected_t(FOLDS, 0.5, arms=4)
    assert nct.sf(t.ppf(1 - 0.025 / 4, 5), 5, several.detectable / error) == pytest.approx(0.8, abs=1e-6)
    assert (several.p, several.low, several.high) == (found.p, found.low, found.high)


def test_turning_the_arms_round_turns_the_difference_round() -> None:
    there, back = corrected_t(FOLDS, 0.5), corrected_t(-FOLDS, 0.5)
    assert (back.value, back.low, back.high, back.effect) == (-there.value, -there.high, -there.low, -there.effect)
    assert (back.p, back.detectable) == (there.p, there.detectable)


def test_folds_that_agree_by_chance_are_not_certain() -> None:
    """Two or three folds may well gain the same image; thirty do not."""
    assert corrected_t([0.01, 0.01], 1.0).p > 0.2
    assert corrected_t([0.01] * 3, 0.5).p > 0.05
    assert corrected_t([0.01] * 30, 0.5).p < 1e-6
    same = corrected_t(np.zeros(5), 0.25)
    assert (same.value, same.low, same.high, same.p, same.effect) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize(
    ("differences", "share"),
    [([0.1], 0.5), ([], 0.5), ([0.1, math.nan], 0.5), ([[0.1, 0.2]], 0.5), ([0.1, 0.2], 0.0), ([0.1, 0.2], math.inf)],
)
def test_what_is_no_set_of_folds_is_refused(differences: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        corrected_t(differences, share)


def test_the_record_has_every_attribute() -> None:
    record = corrected_t(FOLDS, 0.5).to_json()
    assert list(record) == ["value", "low", "high", "p", "folds", "effect", "detectable"]


def test_what_may_be_said() -> None:
    better, worse = corrected_t(FOLDS, 0.5), corrected_t(-FOLDS, 0.5)
    assert [verdict(one, 0.049) for one in (better, worse)] == ["helps", "hurts"]
    assert [verdict(one, 0.05) for one in (better, worse, Estimate(None))] == ["not shown"] * 3
    assert verdict(estimate(0.0), 0.0) == "not shown"


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def sides(better: int, worse: int, same: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return where each of two models is right, with so many images that only one of them has right."""
    first = np.r_[np.zeros(better, bool), np.ones(worse + same, bool)]
    return first, np.r_[np.ones(better, bool), np.zeros(worse, bool), np.ones(same, bool)]


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (40, 20)])
def test_mcnemar_is_a_sign_test_of_the_images_that_only_one_has_right(better: int, worse: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert mcnemar(*sides(better, worse)) == pytest.approx(expected)


def test_mcnemar_of_groups_is_no_surer_than_the_groups_let_it_be() -> None:
    """Groups of one size: a t test of the groups' means."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 10)
    chance = np.repeat([0.95, 0.9, 0.9, 0.8, 0.4, 0.9, 0.3, 0.5], 10)
    first, second = rng.random(80) < 0.4, rng.random(80) < chance
    gains = (second.astype(float) - first).reshape(8, 10).mean(axis=1)
    assert mcnemar(first, second, groups) == pytest.approx(ttest_1samp(gains, 0).pvalue)
    assert mcnemar(first, second, groups) > mcnemar(first, second)
    assert mcnemar(first, second, [f"g{i}" for i in groups]) == mcnemar(first, second, groups)
    assert mcnemar(first, second, np.arange(80)) == mcnemar(first, second)
    assert mcnemar(first, second, np.zeros(80)) == 1.0


def test_mcnemar_of_groups_is_never_surer_than_of_images() -> None:
    first, second = sides(12, 4)
    groups = np.arange(21) % 7  # gains and losses of one group cancel
    assert mcnemar(first, second, groups) >= mcnemar(first, second)
    assert mcnemar(*sides(8, 0, 0), np.arange(8) % 2) == mcnemar(*sides(8, 0, 0)), "all groups alike: nothing is lost"


@pytest.mark.parametrize("count", [7, 40])
def test_mcnemar_of_groups_that_share_their_luck_is_wrong_5_times_in_100(count: int) -> None:
    rng, wrong, naive = np.random.default_rng(0), 0, 0
    groups = np.repeat(np.arange(count), 10)
    for _ in range(400):
        luck = np.repeat(rng.random(count) < 0.5, 10)
        first, second = (np.where(luck == side, rng.random(10 * count) < 0.95, rng.random(10 * count) < 0.6) for side in (True, False))
        wrong += mcnemar(first, second, groups) < 0.05
        naive += mcnemar(first, second) < 0.05
    assert wrong <= 30 < naive


def test_independent_images_have_bonett_and_prices_interval() -> None:
    found = paired_interval(*sides(9, 2, 9))
    assert (found.low, found.high) == paired_difference(9, 2, 20)
    assert found.value == pytest.approx(7 / 20)


def test_the_interval_of_a_gain_holds_the_truth() -> None:
    """Two models that are right together or not, in groups of 5 that share their luck: 95 of 100 intervals hold the true gain of 0."""
    rng, held = np.random.default_rng(0), 0
    for seed in range(100):
        luck = np.repeat(rng.random(40) < 0.5, 5)
        first, second = (np.where(luck == side, rng.random(200) < 0.9, rng.random(200) < 0.7) for side in (True, False))
        found = paired_interval(first, second, np.repeat(np.arange(40), 5), replicates=200, seed=seed)
        assert found.low is not None and found.high is not None
        held += found.low <= 0 <= found.high
    assert held >= 90


def test_no_change_is_not_certain() -> None:
    found = paired_interval(np.ones(10, bool), np.ones(10, bool))
    assert found.value == 0
    assert found.low is not None and found.low < 0
    assert found.high is not None and found.high > 0


def two_models(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels and two models' probabilities: the second sees the same signal with more noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=n)
    signal = labels + rng.normal(0, 0.7, n)
    scores = [1 / (1 + np.exp(-4 * (signal - 0.5 + rng.normal(0, noise, n)))) for noise in (0.1, 1.5)]
    first, second = (np.stack([1 - score, score], axis=1) for score in scores)
    return labels, first, second


def test_differences_of_every_figure_are_those_of_the_figures() -> None:
    labels, first, second = two_models()
    found = figure_differences(*(resample_figures(table, labels) for table in (first, second)))
    figures = [judge(table, labels, ["a", "b"]).figures for table in (first, second)]
    for name, gain in found.items():
        values = [figure[name].value for figure in figures]
        assert values[0] is not None and values[1] is not None and gain.value == pytest.approx(values[1] - values[0]), name
        assert gain.value is not None and gain.low is not None and gain.high is not None and gain.low < gain.value < gain.high < 0, name


def test_a_paired_interval_is_narrower_than_one_of_two_strangers() -> None:
    labels, first, _ = two_models()
    nearly = np.clip(first + np.linspace(-0.01, 0.01, 200)[:, None] * [1, -1], 0, 1)
    drawn = [resample_figures(table, labels) for table in (first, nearly)]
    paired = figure_differences(*drawn)["auc"]
    alone = judge(first, labels, ["a", "b"]).figures["auc"]
    assert paired.low is not None and paired.high is not None and alone.low is not None and alone.high is not None
    assert paired.high - paired.low < alone.high - alone.low


def test_two_models_without_a_mistake_are_not_certainly_equal() -> None:
    labels = np.arange(20) % 2
    perfect = np.eye(2)[labels]
    for name, found in figure_differences(*(resample_figures(perfect, labels) for _ in range(2))).items():
        assert found.low is not None and found.high is not None and found.low < 0 < found.high, name


def test_groups_widen_the_differences() -> None:
    labels, first, second = two_models()
    order = np.argsort(first[:, 1] - second[:, 1])  # groups of images on which the models differ alike
    groups = np.empty(200, int)
    groups[order] = np.arange(200) // 20
    alone, grouped = (figure_differences(*(resample_figures(one, labels, groups=g) for one in (first, second))) for g in (None, groups))
    for name in alone:
        narrow, wide = alone[name], grouped[name]
        assert None not in (narrow.low, narrow.high, wide.low, wide.high)
        assert wide.high - wide.low > narrow.high - narrow.low, name  # type: ignore[operator]


def test_a_figure_that_the_labels_do_not_define_has_no_difference() -> None:
    labels, table = np.zeros(10, int), np.tile([0.9, 0.1], (10, 1))
    found = figure_differences(*(resample_figures(table, labels) for _ in range(2)))
    assert found["auc"] == Estimate(None)
    assert found["accuracy"].value == 0
