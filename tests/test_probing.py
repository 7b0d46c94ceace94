"""Many heads on kept features: the same as one by one, and blind to what they are judged on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.evaluation.calibrate import fit_temperature
from seefit.studies.folds import Fold, make_study_folds
from seefit.studies.probing import Probe, fit_folds, make_probe
from seefit.training.head import fit_head

CLASSES, COUNT = 3, 150
RNG = np.random.default_rng(0)
LABELS = RNG.integers(CLASSES, size=COUNT)
UNITS = np.arange(COUNT)
FEATURES = (np.eye(CLASSES, 40)[LABELS] * 2 + RNG.normal(size=(COUNT, 40))).astype(np.float32)
TARGETS = np.eye(CLASSES, dtype=np.float32)[LABELS]
FOLDS = make_study_folds(LABELS, UNITS, folds=3, repeats=2, seed=0)


def learnt(fold: Fold) -> NDArray[np.intp]:
    return fold.train


def probe_of(features: NDArray[np.float32] = FEATURES, views: int = 1, weights: NDArray[np.float64] | None = None) -> Probe:
    return make_probe(features, views, TARGETS, weights=np.ones(COUNT) if weights is None else weights, units=UNITS)


def test_a_fold_is_what_scikit_learn_fits() -> None:
    from sklearn.linear_model import LogisticRegression

    probe, fold = probe_of(), FOLDS[4]
    found = list(fit_folds(probe, FOLDS, learnt))[4]
    rows = probe.scale.apply(FEATURES)
    model = LogisticRegression(C=1 / probe.strength, tol=1e-8, max_iter=5_000).fit(rows[fold.train], LABELS[fold.train])
    answers = model.decision_function(rows[fold.held_out]) / probe.temperature
    np.testing.assert_allclose(found.held_out - found.held_out.mean(1, keepdims=True), answers - answers.mean(1, keepdims=True), atol=0.03)
    assert found.known.shape == (len(fold.train), CLASSES)
    assert found.seconds > 0


def test_the_strength_is_about_that_of_a_head_of_its_own() -> None:
    ratio = probe_of().strength / (fit_head(FEATURES, TARGETS).strength * COUNT * 0.8)
    assert 0.3 < ratio < 3.5  # other folds: a step of the path up or down


def test_the_head_for_the_check_of_the_engine_is_on_raw_features() -> None:
    probe = probe_of()
    logits = probe.head().logits(FEATURES)
    assert (logits.argmax(1) == LABELS).mean() > 0.8
    inside = np.asarray(probe.rows @ np.linalg.lstsq(probe.rows, logits - logits.mean(0), rcond=None)[0])
    np.testing.assert_allclose(inside, logits - logits.mean(0), atol=1e-3)


def test_labels_that_a_fold_holds_out_do_not_reach_its_head() -> None:
    fold = FOLDS[0]
    probe, changed = probe_of(), TARGETS.copy()
    changed[fold.held_out] = np.roll(changed[fold.held_out], 1, axis=1)
    first, second = (next(iter(fit_folds(probe, [fold], learnt, targets))).held_out for targets in (TARGETS, changed))
    np.testing.assert_array_equal(first, second)


def test_views_are_learnt_from_and_the_image_itself_is_judged() -> None:
    views = np.repeat(FEATURES, 2, axis=0)
    views[1::2] += RNG.normal(scale=0.1, size=FEATURES.shape).astype(np.float32)
    probe = probe_of(views, 2)
    assert probe.rows.shape[0] == 2 * COUNT
    found = next(iter(fit_folds(probe, FOLDS, learnt)))
    assert found.held_out.shape == (len(FOLDS[0].held_out), CLASSES)
    assert (found.held_out.argmax(1) == LABELS[FOLDS[0].held_out]).mean() > 0.7
    garbage = views.copy()
    garbage[1::2] = 100 * RNG.normal(size=FEATURES.shape)  # views that say nothing of the image
    worse = next(iter(fit_folds(probe_of(garbage, 2), FOLDS, learnt)))
    assert (worse.held_out.argmax(1) == LABELS[FOLDS[0].held_out]).mean() < (found.held_out.argmax(1) == LABELS[FOLDS[0].held_out]).mean()


def test_images_without_weight_teach_nothing() -> None:
    weights = np.ones(COUNT)
    weights[LABELS == 2] = 0
    answers = next(iter(fit_folds(probe_of(weights=weights), FOLDS, learnt))).held_out
    assert not (answers.argmax(1) == 2).any()


def test_a_shift_is_taken_from_the_logits() -> None:
    shift = np.array([5.0, 0.0, 0.0], np.float32)
    moved = make_probe(FEATURES, 1, TARGETS, weights=np.ones(COUNT), units=UNITS, shift=shift)
    plain, shifted = (next(iter(fit_folds(probe, FOLDS, learnt))).held_out for probe in (probe_of(), moved))
    np.testing.assert_allclose(shifted * moved.temperature, plain * probe_of().temperature - shift, atol=1e-3)


def test_one_temperature_comes_from_folds_of_its_own() -> None:
    found = probe_of()
    logits = np.concatenate([answer.held_out * found.temperature for answer in fit_folds(found, FOLDS[:3], learnt)])
    own = fit_temperature(logits, np.concatenate([LABELS[fold.held_out] for fold in FOLDS[:3]]))
    assert found.temperature == pytest.approx(own, rel=0.5)
