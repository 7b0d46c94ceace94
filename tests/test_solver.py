"""The solver finds scikit-learn's minimum, and its shortcuts (rotation, rows that are never copied) change nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.training import solver as module
from seefit.training.solver import SPREAD_FLOOR, Double, Float, Rotation, Rows, Standardised, cross_entropy, log_softmax, minimise

STRENGTH = 0.05
TIGHT = 1e-12


def make_rows(n: int, columns: int, classes: int, seed: int = 0) -> tuple[Float, NDArray[np.intp]]:
    """Return rows of overlapping classes, so that the loss has its minimum well away from infinity."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    rows = rng.normal(size=(classes, columns))[labels] * 0.7 + rng.normal(size=(n, columns))
    return rows.astype(np.float32), labels


def one_hot(labels: NDArray[np.intp], classes: int) -> Float:
    return np.eye(classes, dtype=np.float32)[labels]


def solve(rows: Rows, targets: Float, weights: Double | None = None, strength: float = STRENGTH, start: Double | None = None) -> Double:
    weights = np.ones(len(targets)) if weights is None else weights
    start = np.zeros((rows.array.shape[1] + 1, targets.shape[1])) if start is None else start
    return minimise(rows, targets, weights, strength, start, tolerance=TIGHT)


def logits_of(rows: Float, solution: Double) -> Double:
    """Return logits less their mean over classes, which no probability depends on."""
    logits = rows.astype(np.float64) @ solution[:-1] + solution[-1]
    return np.asarray(logits - logits.mean(1, keepdims=True))


def objective(rows: Float, targets: Float, weights: Double, strength: float, solution: Double) -> float:
    """Return the objective as the module states it, in float64."""
    logits = rows.astype(np.float64) @ solution[:-1] + solution[-1]
    logs = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True)) - logits.max(1, keepdims=True)
    return float(-(weights / weights.sum()) @ (targets * logs).sum(1) + strength / 2 * (solution[:-1] ** 2).sum())


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("classes", [2, 4])
def test_minimum_is_that_of_scikit_learn(classes: int, weighted: bool) -> None:
    from sklearn.linear_model import LogisticRegression

    rows, labels = make_rows(200, 6, classes)
    weights = np.random.default_rng(1).uniform(0, 3, 200) if weighted else np.ones(200)
    # With two classes scikit-learn fits one column where the softmax has two, w/2 and -w/2: half the penalty.
    c = (2 if classes == 2 else 1) / (STRENGTH * weights.sum())
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10_000).fit(rows.astype(np.float64), labels, sample_weight=weights)
    expected = theirs.decision_function(rows)
    ours = logits_of(rows, solve(Rows(rows), one_hot(labels, classes), weights))
    if classes == 2:
        np.testing.assert_allclose(ours[:, 1] - ours[:, 0], expected, atol=2e-3)
    else:
        np.testing.assert_allclose(ours, expected - expected.mean(1, keepdims=True), atol=2e-3)


def test_nothing_beside_the_solution_is_lower() -> None:
    """The gradient by finite differences is zero at the solution and is not zero beside it."""
    rows, labels = make_rows(90, 4, 3)
    targets, weights = one_hot(labels, 3), np.linspace(0.1, 2, 90)
    solution = solve(Rows(rows), targets, weights)

    def slopes(at: Double) -> Double:
        found = np.zeros_like(at)
        for place in np.ndindex(*at.shape):
            step = np.zeros_like(at)
            step[place] = 1e-5
            up, down = (objective(rows, targets, weights, STRENGTH, at + s * step) for s in (1, -1))
            found[place] = (up - down) / 2e-5
        return found

    assert np.abs(slopes(solution)).max() < 1e-4
    assert np.abs(slopes(solution + 0.1)).max() > 1e-3


def test_soft_targets_are_the_rows_written_once_per_class() -> None:
    rows, _ = make_rows(60, 5, 3)
    rng = np.random.default_rng(2)
    soft = rng.dirichlet([0.5, 0.5, 0.5], 60).astype(np.float32)
    weights = rng.uniform(0.5, 2, 60)
    whole = solve(Rows(rows), soft, weights)
    thrice = solve(Rows(np.repeat(rows, 3, axis=0)), np.tile(np.eye(3, dtype=np.float32), (60, 1)), (weights[:, None] * soft).ravel())
    np.testing.assert_allclose(logits_of(rows, whole), logits_of(rows, thrice), atol=1e-3)


def test_duplicated_rows_are_a_weight_of_two() -> None:
    rows, labels = make_rows(50, 4, 2)
    targets = one_hot(labels, 2)
    twice = solve(Rows(np.concatenate([rows, rows[:20]])), np.concatenate([targets, targets[:20]]))
    weighted = solve(Rows(rows), targets, np.where(np.arange(50) < 20, 2.0, 1.0))
    np.testing.assert_allclose(logits_of(rows, twice), logits_of(rows, weighted), atol=1e-3)


@pytest.mark.parametrize("duplicates", [0, 10])
def test_rotation_changes_no_logit(duplicates: int) -> None:
    """Fewer rows than columns, also with equal rows, which make the product of the rows singular."""
    rows, labels = make_rows(40, 300, 3)
    rows = np.concatenate([rows, rows[:duplicates]])
    labels = np.concatenate([labels, labels[:duplicates]])
    standardised = Standardised.of(rows).apply(rows)
    rotation = Rotation.of(standardised)
    assert rotation.rows.shape == (40 + duplicates, 40 + duplicates)
    targets = one_hot(labels, 3)
    plain = solve(Rows(standardised), targets)
    small = solve(Rows(rotation.rows), targets)
    back = np.vstack([rotation.back(small[:-1]), small[-1]])
    new = make_rows(20, 300, 3, seed=9)[0]
    for there in (standardised, new):
        np.testing.assert_allclose(logits_of(there, back), logits_of(there, plain), atol=1e-2)
    np.testing.assert_allclose(logits_of(standardised, back), logits_of(rotation.rows, small), atol=1e-3)


def test_rows_standardised_on_the_way_are_the_standardised_copy() -> None:
    rows, labels = make_rows(120, 7, 3)
    rows = rows * np.array([1, 10, 0.1, 1, 5, 1, 1], np.float32) + np.array([0, 50, 3, -4, 0, 1, 2], np.float32)
    scale, targets = Standardised.of(rows), one_hot(labels, 3)
    ready, raw = Rows(scale.apply(rows)), Rows(rows, scale)
    weight, residual = np.ones((7, 3), np.float32), np.ones((120, 3), np.float32) * np.linspace(-1, 1, 120, dtype=np.float32)[:, None]
    np.testing.assert_allclose(raw.times(weight), ready.times(weight), atol=1e-3)
    np.testing.assert_allclose(raw.transposed_times(residual), ready.transposed_times(residual), atol=1e-3)
    np.testing.assert_allclose(logits_of(ready.array, solve(raw, targets)), logits_of(ready.array, solve(ready, targets)), atol=2e-3)


def test_standardised_measures_columns_and_leaves_constant_ones_out() -> None:
    rows = (np.random.default_rng(0).normal(size=(5_000, 3)) * [1, 2, 0] + [0, 1_000, 7]).astype(np.float32)
    scale = Standardised.of(rows)
    applied = scale.apply(rows)
    np.testing.assert_allclose(applied[:, :2].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(applied[:, :2].std(0), 1, atol=2e-3)
    assert scale.factor[2] == 0
    assert not applied[:, 2].any()


def test_features_that_hardly_vary_are_not_blown_up() -> None:
    rows = (np.random.default_rng(0).normal(size=(5_000, 3)) * [1, 1, 0.003]).astype(np.float32)
    applied = Standardised.of(rows).apply(rows)
    np.testing.assert_allclose(applied.std(0), [1, 1, 0.003 / SPREAD_FLOOR], rtol=0.05)


def test_raw_weights_act_on_raw_rows_as_the_solution_on_standardised_ones() -> None:
    rows, labels = make_rows(80, 4, 3)
    rows = np.concatenate([rows * 3 + 5, np.full((80, 1), 2, np.float32)], axis=1)
    scale = Standardised.of(rows)
    solution = solve(Rows(scale.apply(rows)), one_hot(labels, 3))
    weight, bias = scale.raw(solution[:-1], solution[-1])
    assert weight.shape == (3, 5)
    assert weight.dtype == bias.dtype == np.dtype(np.float32)
    assert not weight[:, 4].any()
    expected = scale.apply(rows).astype(np.float64) @ solution[:-1] + solution[-1]
    np.testing.assert_allclose(rows @ weight.T + bias, expected, atol=1e-4)


def test_a_start_elsewhere_ends_at_the_same_minimum() -> None:
    rows, labels = make_rows(100, 5, 3)
    targets = one_hot(labels, 3)
    cold = solve(Rows(rows), targets)
    warm = solve(Rows(rows), targets, start=solve(Rows(rows), targets, strength=1.0))
    far = solve(Rows(rows), targets, start=np.random.default_rng(0).normal(size=(6, 3)) * 3)
    np.testing.assert_allclose(logits_of(rows, warm), logits_of(rows, cold), atol=2e-3)
    np.testing.assert_allclose(logits_of(rows, far), logits_of(rows, cold), atol=2e-3)


def test_rows_of_weight_zero_do_not_count() -> None:
    rows, labels = make_rows(60, 4, 2)
    targets = one_hot(labels, 2)
    wrong = np.concatenate([targets[:40], targets[40:, ::-1]])
    left_out = solve(Rows(rows[:40]), targets[:40])
    unweighted = solve(Rows(rows), wrong, np.where(np.arange(60) < 40, 1.0, 0.0))
    np.testing.assert_allclose(logits_of(rows, unweighted), logits_of(rows, left_out), atol=1e-3)


def test_log_softmax_and_cross_entropy_stand_any_logits() -> None:
    logits = np.array([[1e4, 0.0], [0.0, -1e4], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(log_softmax(logits), [[0, -1e4], [0, -1e4], [-np.log(2)] * 2])
    targets = np.array([[1, 0], [1, 0], [0.5, 0.5]], np.float32)
    assert cross_entropy(logits, targets, np.array([1.0, 1.0, 2.0])) == pytest.approx(np.log(2) / 2, rel=1e-6)
    assert cross_entropy(logits, targets, np.zeros(3)) == pytest.approx(np.log(2) / 3, rel=1e-6)


def test_problems_side_by_side_have_the_solutions_they_have_alone() -> None:
    rows, labels = make_rows(120, 5, 3)
    targets = one_hot(labels, 3)
    weights = np.random.default_rng(2).uniform(0, 2, (120, 4))
    weights[:40, 1] = 0
    together = minimise(Rows(rows), targets, weights, STRENGTH, np.zeros((6, 12)), tolerance=TIGHT)
    for column, found in zip(weights.T, np.hsplit(together, 4), strict=True):
        np.testing.assert_allclose(logits_of(rows, found), logits_of(rows, solve(Rows(rows), targets, column)), atol=2e-3)


@pytest.mark.parametrize("raw", [False, True])
def test_blocks_of_rows_give_the_same_numbers_on_any_number_of_threads(raw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 40)
    rows, labels = make_rows(150, 7, 3)
    scale = Standardised.of(rows) if raw else None
    weight, residual = np.ones((7, 3), np.float32), one_hot(labels, 3)
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(3) as three:
        found = [(at.times(weight), at.transposed_times(residual)) for at in (Rows(rows, scale, pool) for pool in (one, three))]
    for a, b, plain in zip(*found, (Rows(rows, scale).times(weight), Rows(rows, scale).transposed_times(residual)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, plain, atol=1e-4)
