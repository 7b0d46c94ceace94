"""The head: a sensible strength, honest out-of-fold scores, classes of every size, and the same answer every time."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.training import head as module
from seefit.training.head import Head, _sample, class_shares, fit_head, make_folds
from seefit.training.solver import Float, Rows, Standardised, cross_entropy, minimise

Index = NDArray[np.intp]


def make_classes(sizes: list[int], columns: int = 5, apart: float = 1.0, seed: int = 0) -> tuple[Float, Index]:
    """Return rows around one centre per class, centres ``apart`` spreads from each other on every axis or so."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(len(sizes), columns)) * apart
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return (centres[labels] + rng.normal(size=(len(labels), columns))).astype(np.float32), labels


def one_hot(labels: Index, classes: int | None = None) -> Float:
    return np.eye(int(labels.max()) + 1 if classes is None else classes, dtype=np.float32)[labels]


def accuracy(head: Head, features: Float, labels: Index) -> float:
    return float((head.logits(features).argmax(1) == labels).mean())


def recall(head: Head, features: Float, labels: Index, label: int) -> float:
    return accuracy(head, features[labels == label], labels[labels == label])


# ---- the strength ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "apart"), [(4, 2.0), (40, 0.3), (200, 0.2)], ids=["easy", "hard", "wide"])
def test_the_strength_is_near_the_best_for_new_images(columns: int, apart: float) -> None:
    features, labels = make_classes([60, 60, 60], columns, apart)
    new, truth = make_classes([500, 500, 500], columns, apart, seed=1)
    head = fit_head(features, one_hot(labels))
    scale, weights = Standardised.of(features), np.ones(len(labels))

    def loss(strength: float) -> float:
        start = np.zeros((columns + 1, 3))
        solution = minimise(Rows(scale.apply(features)), one_hot(labels), weights, strength, start, tolerance=1e-7)
        logits = scale.apply(new) @ solution[:-1].astype(np.float32) + solution[-1].astype(np.float32)
        return cross_entropy(logits, one_hot(truth), np.ones(len(truth)))

    best = min(loss(s * columns / len(labels)) for s in module.STRENGTHS[::3])
    assert cross_entropy(head.logits(new), one_hot(truth), np.ones(len(truth))) < 1.1 * best + 0.01
    assert head.strength == min(head.path, key=lambda point: point.nll).strength


def test_the_path_goes_from_strong_to_weak_and_stops_when_the_loss_rises() -> None:
    features, labels = make_classes([40, 40], 30, 0.2)
    path = fit_head(features, one_hot(labels)).path
    assert [point.strength for point in path] == sorted((point.strength for point in path), reverse=True)
    assert len(path) < len(module.STRENGTHS)
    best = int(np.argmin([point.nll for point in path]))
    assert len(path) == best + 1 + module.PATIENCE
    assert all(point.nll_se > 0 and 0 <= point.balanced_accuracy <= 1 for point in path)


def test_a_weaker_penalty_learns_its_own_rows_better_and_the_path_says_how_well() -> None:
    features, labels = make_classes([40, 40], 30, 0.2)
    path = fit_head(features, one_hot(labels)).path
    losses = [point.train_nll for point in path]
    assert losses == sorted(losses, reverse=True)
    assert all(point.train_nll < point.nll for point in path)
    assert path[-1].train_balanced_accuracy > path[-1].balanced_accuracy


def test_the_path_says_how_far_apart_learnt_and_held_out_images_are() -> None:
    """Classes of one size, so that accuracy is balanced accuracy: the mean distance is at least that of the means."""
    features, labels = make_classes([40, 40], 30, 0.2)
    for point in fit_head(features, one_hot(labels)).path:
        assert point.nll_gap >= point.nll - point.train_nll - 1e-9
        assert point.nll_gap == pytest.approx(point.nll - point.train_nll)  # every fold does worse on what it did not see
        assert 1 >= point.accuracy_gap >= abs(point.train_balanced_accuracy - point.balanced_accuracy) - 1e-9


# ---- out-of-fold scores ---------------------------------------------------------------------------------------


def test_out_of_fold_scores_come_from_a_head_that_did_not_see_the_row() -> None:
    """More columns than rows and random labels: what was seen is known by heart, what was not is a coin."""
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(200, 400)).astype(np.float32), rng.integers(0, 2, 200)
    head = fit_head(features, one_hot(labels))
    assert accuracy(head, features, labels) > 0.95
    assert head.fold_rows.tolist() == list(range(200))
    assert np.bincount(head.fold_numbers).tolist() == [40] * 5
    assert 0.3 < (head.fold_logits.argmax(1) == labels).mean() < 0.7


def test_out_of_fold_scores_come_from_a_head_that_did_not_see_the_unit() -> None:
    """Four look-alikes per unit, random labels per unit: who saw one of them knows the label of the others."""
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 4)
    labels = rng.integers(0, 2, 60)[units]
    features = (rng.normal(size=(60, 100))[units] + 0.01 * rng.normal(size=(240, 100))).astype(np.float32)

    def score(head: Head) -> float:
        return float((head.fold_logits.argmax(1) == labels[head.fold_rows]).mean())

    assert score(fit_head(features, one_hot(labels))) > 0.95  # the trap works: torn units leak
    assert 0.25 < score(fit_head(features, one_hot(labels), units=units)) < 0.75


def test_folds_never_tear_a_unit_and_hold_out_each_row_once() -> None:
    rng = np.random.default_rng(0)
    units = rng.integers(0, 40, 300)
    labels = rng.integers(0, 3, 300)
    folds = make_folds(labels, units, seed=0)
    assert len(folds) == module.FOLDS
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(300))
    for train, test in folds:
        assert not set(units[train]) & set(units[test])
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(300))


def test_a_class_of_one_unit_is_always_learnt_from_but_never_beside_its_held_out_unit() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2] * 3)
    units = np.array([*range(40), 100, 100, 7])  # the last image of class 2 shares unit 7 with class 0
    units[-1] = 100
    assert all(set(range(40, 43)) <= set(train) for train, _ in make_folds(labels, units, seed=0))
    units[[40, 41, 42]] = 7
    for train, test in make_folds(labels, units, seed=0):
        assert not set(units[train]) & set(units[test])
        assert (40 in train) == (7 not in test)


def test_units_that_cannot_be_separated_give_no_folds() -> None:
    """Three units, each of two of three classes: any two folds leave one class in a single fold."""
    labels, units = np.array([0, 1, 0, 2, 1, 2]), np.array([0, 0, 1, 1, 2, 2])
    assert make_folds(labels, units, seed=0) == []
    features = np.eye(3, dtype=np.float32)[labels]
    head = fit_head(features, one_hot(labels), units=units)
    assert head.method == "nearest-mean"
    assert accuracy(head, features, labels) == 1


# ---- class sizes and weights ----------------------------------------------------------------------------------


def test_balanced_lifts_the_recall_of_the_rare_class() -> None:
    features, labels = make_classes([380, 20], 4, 0.6)
    new, truth = make_classes([1000, 1000], 4, 0.6, seed=1)
    plain, balanced = (fit_head(features, one_hot(labels), balance=balance) for balance in ("none", "balanced"))
    assert recall(balanced, new, truth, 1) > recall(plain, new, truth, 1) + 0.2
    assert recall(balanced, new, truth, 0) < recall(plain, new, truth, 0)


def test_prior_is_the_plain_head_less_the_logarithm_of_the_shares() -> None:
    features, labels = make_classes([300, 60, 40], 4, 0.6)
    weights = np.where(labels == 0, 0.5, 1.0)
    plain, prior = (fit_head(features, one_hot(labels), weights=weights, balance=balance) for balance in ("none", "prior"))
    shift = np.log(np.array([150, 60, 40]) / 250)
    np.testing.assert_array_equal(prior.weight, plain.weight)
    np.testing.assert_allclose(prior.bias, plain.bias - shift, atol=1e-5)
    np.testing.assert_allclose(prior.fold_logits, plain.fold_logits - shift, atol=1e-5)
    assert recall(prior, features, labels, 2) > recall(plain, features, labels, 2)


def test_class_shares_are_weighted() -> None:
    targets = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
    np.testing.assert_allclose(class_shares(targets, np.array([1.0, 2.0, 0.0])), [2 / 3, 1 / 3])


@pytest.mark.parametrize("balance", ["none", "prior"])
def test_most_classes_with_one_unit_give_the_nearest_mean(balance: module.Balance) -> None:
    features, labels = make_classes([2, 1, 1, 1, 3], 6, 3.0)
    new, _ = make_classes([20] * 5, 6, 3.0, seed=1)
    head = fit_head(features, one_hot(labels), balance=balance)
    assert (head.method, head.folds, len(head.fold_rows)) == ("nearest-mean", 0, 0)
    scale = Standardised.of(features)
    means = np.stack([scale.apply(features)[labels == c].mean(0) for c in range(5)])
    distances = ((scale.apply(new)[:, None] - means) ** 2).sum(2)
    np.testing.assert_array_equal(head.logits(new).argmax(1), distances.argmin(1))


def test_ten_thousand_classes_of_one_to_three_images_finish() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10_000), rng.integers(1, 4, 10_000))
    centres = rng.normal(size=(10_000, 16)).astype(np.float32)
    features = centres[labels] + 0.01 * rng.normal(size=(len(labels), 16)).astype(np.float32)
    targets = np.zeros((len(labels), 10_000), np.float32)
    targets[np.arange(len(labels)), labels] = 1
    tracemalloc.start()
    head = fit_head(features, targets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert head.method == "nearest-mean"
    assert accuracy(head, features[:200], labels[:200]) > 0.95
    assert peak < 50 * 2**20


def test_a_class_of_one_image_beside_large_ones_is_learnt() -> None:
    features, labels = make_classes([100, 100, 1], 6, 4.0)
    head = fit_head(features, one_hot(labels))
    assert (head.method, head.folds) == ("logistic", 5)
    assert 200 not in head.fold_rows
    assert accuracy(head, features, labels) == 1


def test_rows_of_weight_zero_teach_nothing() -> None:
    features, labels = make_classes([200, 200], 4, 1.0)
    wrong, weights = labels.copy(), np.ones(400)
    wrong[:150], weights[:150] = 1, 0
    head = fit_head(features, one_hot(wrong), weights=weights)
    clean = fit_head(features[150:], one_hot(labels[150:]))
    assert (head.logits(features).argmax(1) == clean.logits(features).argmax(1)).mean() > 0.97
    unweighted = fit_head(features, one_hot(wrong))
    assert recall(head, features, labels, 0) > recall(unweighted, features, labels, 0) + 0.2


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_weights_of_zero_nearly_everywhere_give_a_finite_head(kept: int) -> None:
    features, labels = make_classes([30, 30], 4, 1.0)
    weights = np.zeros(60)
    weights[:kept] = 1
    head = fit_head(features, one_hot(labels), weights=weights)
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.bias).all()
    assert np.isfinite(head.fold_logits).all()


def test_constant_and_equal_features_give_a_finite_head() -> None:
    features, labels = np.ones((30, 50), np.float32), np.arange(30) % 3
    head = fit_head(features, one_hot(labels))
    assert not head.weight.any()
    np.testing.assert_allclose(head.logits(features), head.logits(features)[:1].repeat(30, 0))


def test_soft_targets_move_the_logits_of_unsure_rows_to_the_middle() -> None:
    features, labels = make_classes([150, 150], 4, 0.7)
    hard = one_hot(labels)
    soft = np.where(np.arange(300)[:, None] % 2 == 0, hard, 0.8 * hard + 0.1)
    spread = [np.ptp(fit_head(features, targets.astype(np.float32)).logits(features), axis=1).mean() for targets in (hard, soft)]
    assert spread[1] < 0.95 * spread[0]


# ---- the same answer every time -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_head_and_another_seed_other_folds() -> None:
    features, labels = make_classes([50, 50], 80, 0.4)
    first, again, other = (fit_head(features, one_hot(labels), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.weight, again.weight)
    np.testing.assert_array_equal(first.fold_logits, again.fold_logits)
    assert first.path == again.path
    assert np.abs(first.fold_logits - other.fold_logits).max() > 1e-3


@pytest.mark.parametrize("columns", [6, 200], ids=["tall", "wide"])
def test_the_order_of_the_rows_changes_nothing_but_rounding(columns: int) -> None:
    features, labels = make_classes([50, 60, 40], columns, 0.5)
    units, order = np.arange(150), np.random.default_rng(0).permutation(150)
    head = fit_head(features, one_hot(labels), units=units)
    mixed = fit_head(features[order], one_hot(labels[order]), units=units[order])
    assert mixed.strength == pytest.approx(head.strength)
    np.testing.assert_allclose(mixed.logits(features), head.logits(features), atol=0.03)
    np.testing.assert_allclose(mixed.fold_logits[np.argsort(order)], head.fold_logits, atol=0.03)


# ---- many rows ------------------------------------------------------------------------------------------------


def many(monkeypatch: pytest.MonkeyPatch, sample: int) -> None:
    """Let this many rows be what a sample has, and fewer than that be few."""
    monkeypatch.setattr(module, "SAMPLE_ROWS", sample)
    monkeypatch.setattr(module, "MAX_PATH_ROWS", sample // 2)


def test_many_rows_choose_the_strength_on_a_sample_and_score_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = make_classes([900, 300], 100, 0.1)
    new, truth = make_classes([900, 300], 100, 0.1, seed=1)
    whole = fit_head(features, one_hot(labels))
    many(monkeypatch, 600)
    head = fit_head(features, one_hot(labels))
    assert head.folds == 5
    assert head.fold_rows.tolist() == list(range(1200))
    assert head.strength == min(head.path, key=lambda point: point.nll).strength
    assert 1 / 40 < head.strength / whole.strength < 40
    for logits, rows, targets in ((Head.logits, new, one_hot(truth)), (lambda h, _: h.fold_logits, features, one_hot(labels))):
        losses = [cross_entropy(logits(h, rows), targets, np.ones(len(rows))) for h in (whole, head)]
        assert losses[1] < 1.05 * losses[0]
    again = fit_head(features, one_hot(labels))
    np.testing.assert_array_equal(head.weight, again.weight)
    np.testing.assert_array_equal(head.fold_logits, again.fold_logits)


def test_scores_of_many_rows_too_come_from_heads_that_did_not_see_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 4)
    labels = rng.integers(0, 2, 60)[units]
    features = (rng.normal(size=(60, 100))[units] + 0.01 * rng.normal(size=(240, 100))).astype(np.float32)
    many(monkeypatch, 120)
    alone, apart = (fit_head(features, one_hot(labels), units=chosen) for chosen in (None, units))
    assert (alone.fold_logits.argmax(1) == labels).mean() > 0.95  # the trap works: torn units leak
    assert 0.25 < (apart.fold_logits.argmax(1) == labels).mean() < 0.75


def test_very_many_rows_score_as_many_folds_as_the_work_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = make_classes([200, 200], 10, 0.5)
    many(monkeypatch, 200)
    for work, folds, rows in ((2 * features.size * 2, 2, 160), (1, 1, 80)):
        monkeypatch.setattr(module, "MAX_FOLD_WORK", work)
        head = fit_head(features, one_hot(labels))
        assert (head.folds, len(head.fold_rows)) == (folds, rows)
        assert head.fold_logits.shape == (rows, 2)
        assert 0.6 < (head.fold_logits.argmax(1) == labels[head.fold_rows]).mean() < 1


def test_the_sample_keeps_the_shares_of_classes_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [600, 300, 100]))
    units = np.arange(1000)
    folds = make_folds(labels, units, seed=0)
    many(monkeypatch, 400)
    sample, inside = _sample(one_hot(labels), folds, seed=0)
    assert len(np.unique(sample)) == 400
    assert np.abs(np.bincount(labels[sample]) - [240, 120, 40]).max() <= 2
    for (train, test), (train_all, test_all) in zip(inside, folds, strict=True):
        assert abs(len(test) - 80) <= 1
        assert len(train) + len(test) == 400
        assert set(sample[test]) <= set(test_all)
        assert set(sample[train]) <= set(train_all)
    assert sorted(np.concatenate([test for _, test in inside])) == list(range(400))


def test_the_sample_grows_with_the_number_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.repeat(np.arange(10), 50)
    folds = make_folds(labels, np.arange(500), seed=0)
    many(monkeypatch, 60)
    sample, _ = _sample(one_hot(labels), folds, seed=0)
    assert np.bincount(labels[sample]).tolist() == [module.SAMPLE_PER_CLASS] * 10
