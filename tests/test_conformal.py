"""Conformal sets keep their promise on fresh splits, for each class too, and agree with mapie."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.bundle.sets import SetRule
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.conformal import SMALLEST, conformal_limit, fit_sets, judge_sets, true_scores

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Made = tuple[Floats, Ints, Floats]


def made(n: int, classes: int = 6, *, seed: int = 0, honest: float = 1.0) -> Made:
    """Return probabilities that are too sure by a factor of ``honest``, labels, and draws; the first classes are harder and rarer."""
    rng = np.random.default_rng(seed)
    logits = 2.5 * rng.normal(size=(n, classes)) + np.linspace(-1, 1, classes)
    labels = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return softmax(logits, honest), labels, rng.random(n)


def split(data: Made, rng: np.random.Generator, first: int) -> tuple[Made, Made]:
    order = rng.permutation(len(data[1]))
    one, two = ((data[0][rows], data[1][rows], data[2][rows]) for rows in (order[:first], order[first:]))
    return one, two


def held(rule: SetRule | None, data: Made) -> NDArray[np.bool_]:
    """Return (N,) whether the set of each image holds its class."""
    assert rule is not None
    found: NDArray[np.bool_] = np.take_along_axis(rule.sets(data[0], data[2]), data[1][:, None], axis=1)[:, 0]
    return found


@pytest.mark.parametrize("keeps_first", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 0.1])
@pytest.mark.parametrize("honest", [1.0, 0.4])
def test_coverage_on_fresh_splits_is_as_stated(penalty: float, honest: float, keeps_first: bool) -> None:
    """Also where the probabilities are far too sure."""
    rng, data = np.random.default_rng(1), made(3000, honest=honest)
    options = {"coverage": 0.8, "per_class": False, "penalty": penalty, "free": 2, "keeps_first": keeps_first}
    found = []
    for _ in range(40):
        fitting, fresh = split(data, rng, 600)
        found.append(held(fit_sets(*fitting, **options), fresh).mean())  # type: ignore[arg-type]
    assert np.mean(found) == pytest.approx(0.8, abs=0.012)  # 40 limits from 600 images each: a standard error of 0.003


def test_every_class_is_covered_where_each_has_its_own_limit() -> None:
    rng, data = np.random.default_rng(2), made(6000, honest=0.5)
    found: dict[bool, list[list[float]]] = {True: [], False: []}
    for _ in range(20):
        fitting, fresh = split(data, rng, 2000)
        for per_class, rows in found.items():
            inside = held(fit_sets(*fitting, coverage=0.8, per_class=per_class, keeps_first=False), fresh)
            rows.append([float(inside[fresh[1] == c].mean()) for c in range(6)])
    assert np.mean(found[True], axis=0) == pytest.approx(0.8, abs=0.03)
    assert np.mean(found[False], axis=0).min() < 0.75  # what limits of their own are for


def test_keeping_the_likeliest_class_makes_no_set_empty_and_sets_smaller() -> None:
    data = made(6000)
    fitting, fresh = split(data, np.random.default_rng(3), 3000)
    kept, drawn = (fit_sets(*fitting, keeps_first=keeps) for keeps in (True, False))
    assert kept is not None
    assert drawn is not None
    sizes = [rule.sets(fresh[0], fresh[2]).sum(1) for rule in (kept, drawn)]
    assert sizes[0].min() == 1
    assert sizes[1].min() == 0
    assert sizes[0].mean() < sizes[1].mean()
    assert held(kept, fresh).mean() == pytest.approx(0.9, abs=0.015)


def test_where_the_likeliest_class_is_right_often_enough_sets_hold_it_alone() -> None:
    table, labels, draws = made(2000, 3)
    labels[: 3 * len(labels) // 4] = table.argmax(1)[: 3 * len(labels) // 4]
    rule = fit_sets(table, labels, draws, coverage=0.8, per_class=False)
    assert rule is not None
    assert rule.limits[0] == 0
    assert (rule.sets(table, draws).sum(1) == 1).all()


def test_without_a_draw_sets_are_larger_and_hold_more() -> None:
    data = made(4000)
    fitting, fresh = split(data, np.random.default_rng(3), 2000)
    with_draw, without = fit_sets(*fitting), fit_sets(fitting[0], fitting[1], None)
    assert with_draw is not None
    assert without is not None
    drawn = judge_sets(with_draw, *fresh)
    plain = judge_sets(without, fresh[0], fresh[1], None)
    assert drawn.size.value is not None
    assert plain.size.value is not None
    assert plain.size.value > drawn.size.value
    assert plain.coverage.value is not None
    assert plain.coverage.value >= 0.89


def test_small_classes_share_the_limit_of_all() -> None:
    table, labels, draws = made(400, 3)
    labels[:] = 0
    labels[: SMALLEST - 1] = 1
    labels[SMALLEST : 2 * SMALLEST] = 2
    rule = fit_sets(table, labels, draws)
    assert rule is not None
    assert rule.own.tolist() == [True, False, True]
    assert rule.limits[1] == conformal_limit(true_scores(table, labels, draws), 0.9)


def test_too_few_images_give_no_sets() -> None:
    table, labels, draws = made(9, 3)
    assert fit_sets(table, labels, draws) is not None
    assert fit_sets(table[:8], labels[:8], draws[:8]) is None
    assert conformal_limit(np.arange(9.0), 0.9) == 8
    assert conformal_limit(np.arange(19.0), 0.9) == 17
    assert conformal_limit(np.arange(99.0), 0.9) == 89


def test_figures_are_counted_with_intervals_and_wider_ones_for_groups() -> None:
    data = made(3000)
    fitting, fresh = split(data, np.random.default_rng(4), 2500)
    rule = fit_sets(*fitting)
    assert rule is not None
    plain = judge_sets(rule, *fresh)
    sets = rule.sets(fresh[0], fresh[2])
    assert plain.coverage.value == pytest.approx(np.take_along_axis(sets, fresh[1][:, None], axis=1).mean())
    assert plain.size.value == pytest.approx(sets.sum(1).mean())
    assert plain.sizes.tolist() == np.bincount(sets.sum(1), minlength=7).tolist()
    assert plain.sizes[0] == 0
    assert len(plain.per_class) == 6
    groups = np.arange(500) // 50
    grouped = judge_sets(rule, *fresh, groups=groups)
    for one, other in ((plain.coverage, grouped.coverage), (plain.per_class[5], grouped.per_class[5])):
        assert None not in (one.low, one.high, other.low, other.high)
        assert other.low <= one.low < one.value < one.high <= other.high  # type: ignore[operator]
    unseen = judge_sets(rule, fresh[0][:0], fresh[1][:0], fresh[2][:0])
    assert unseen.coverage.value is None


@pytest.mark.parametrize("classes", [3, 6])
def test_randomised_aps_is_that_of_mapie(classes: int) -> None:
    """The oracle draws its own numbers, which a seed makes the same."""
    from mapie.conformity_scores import APSConformityScore

    oracle = APSConformityScore()
    fitting, fresh = (made(n, classes, seed=n) for n in (300, 200))
    oracle.set_external_attributes(classes=np.arange(classes), random_state=5, label_encoder=None)
    draws = [np.random.RandomState(5).uniform(size=n) for n in (300, 200)]
    scores = oracle.get_conformity_scores(fitting[1], fitting[0], y_enc=fitting[1])[:, 0]
    assert true_scores(fitting[0], fitting[1], draws[0], penalty=0.0, keeps_first=False) == pytest.approx(scores)
    rule = fit_sets(fitting[0], fitting[1], draws[0], per_class=False, penalty=0.0, keeps_first=False)
    assert rule is not None
    alpha = np.array([0.1])
    oracle.quantiles_ = oracle.get_conformity_score_quantiles(scores, alpha, "prefit")
    assert rule.limits[0] == pytest.approx(oracle.quantiles_[0])
    theirs = oracle.get_prediction_sets(fresh[0][:, :, None], scores, alpha, "prefit", include_last_label="randomized")[:, :, 0]
    assert (rule.sets(fresh[0], draws[1]) == theirs).all()


def test_the_scores_of_raps_are_those_of_mapie() -> None:
    from mapie.conformity_scores import RAPSConformityScore

    oracle = RAPSConformityScore()
    fitting = made(300, 8, seed=1)
    oracle.set_external_attributes(classes=np.arange(8), random_state=5, label_encoder=None)
    draws = np.random.RandomState(5).uniform(size=300)
    lam, k = 0.05, 2
    aps = super(RAPSConformityScore, oracle).get_conformity_scores(fitting[1], fitting[0], y_enc=fitting[1])
    theirs = oracle._regularize_conformity_score(np.array([k]), lam, aps.reshape(-1, 1), oracle.cutoff)[:, 0, 0]
    assert true_scores(fitting[0], fitting[1], draws, penalty=lam, free=k, keeps_first=False) == pytest.approx(theirs)
