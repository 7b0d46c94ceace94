"""Figures against scikit-learn, intervals against the truth they should hold."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from seefit.errors import UsageError
from seefit.evaluation.intervals import Estimate, wilson
from seefit.evaluation.metrics import NAMES, judge, score

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
NAMES_OF = {c: [f"class {i}" for i in range(c)] for c in (2, 3, 5, 30, 101)}


def noisy(n: int, c: int, seed: int = 0, *, skill: float = 1.5, decimals: int | None = None) -> tuple[Floats, Ints]:
    """Return probabilities of a classifier with some skill; rounding makes ties."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(c), rng.integers(c, size=n - c)]) if n >= c else rng.integers(c, size=n)
    logits = rng.normal(size=(n, c))
    logits[np.arange(n), labels] += skill
    table = np.exp(logits)
    table /= table.sum(axis=1, keepdims=True)
    if decimals is not None:
        table = np.round(table, decimals) + 1e-9
        table /= table.sum(axis=1, keepdims=True)
        table = np.round(table, 12)
    return table, labels


def values(figures: dict[str, Estimate]) -> dict[str, float | None]:
    return {name: figure.value for name, figure in figures.items()}


@pytest.mark.parametrize(("n", "c", "decimals"), [(80, 2, None), (300, 2, 1), (200, 5, None), (400, 5, 1), (250, 30, 2)])
def test_every_value_is_that_of_scikit_learn(n: int, c: int, decimals: int | None) -> None:
    from sklearn import metrics as oracle

    table, labels = noisy(n, c, decimals=decimals)
    weights = np.random.default_rng(1).random(n)
    predicted = table.argmax(axis=1)
    auc = oracle.roc_auc_score(labels, table[:, 1] if c == 2 else table, multi_class="ovr")
    expected = {
        "accuracy": oracle.accuracy_score(labels, predicted),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, predicted),
        "weighted_accuracy": oracle.accuracy_score(labels, predicted, sample_weight=weights),
        "macro_f1": oracle.f1_score(labels, predicted, average="macro"),
        "auc": auc,
        "nll": oracle.log_loss(labels, table),
        "brier": oracle.brier_score_loss(labels, table, labels=np.arange(c), scale_by_half=False),
        "majority_baseline": oracle.accuracy_score(labels, np.ones(n)),
        "gain": oracle.accuracy_score(labels, predicted) - oracle.accuracy_score(labels, np.ones(n)),
    }
    judged = judge(table, labels, NAMES_OF[c], weights=weights, majority=1, replicates=20)
    got = values(judged.figures)
    got.pop("ece")
    assert got == pytest.approx(expected, abs=1e-9)
    for name in expected.keys() - {"majority_baseline", "gain"}:
        value = expected[name]
        assert score(name, table, labels, weights) == pytest.approx(value, abs=1e-9)
    assert judged.confusion == oracle.confusion_matrix(labels, predicted).tolist()


def test_scores_per_class_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

    table, labels = noisy(120, 5)
    table[:, 4] = 0  # never predicted
    judged = judge(table, labels, NAMES_OF[5], replicates=20).per_class
    oracle = precision_recall_fscore_support(labels, table.argmax(axis=1), zero_division=np.nan)
    for i, row in enumerate(judged.values()):
        assert row["n"] == oracle[3][i]
        for name, column in (("precision", 0), ("recall", 1), ("f1", 2)):
            value = row[name].value  # type: ignore[union-attr]
            assert (math.nan if value is None else value) == pytest.approx(oracle[column][i], nan_ok=True)
        assert row["auc"].value == pytest.approx(roc_auc_score(labels == i, table[:, i]))  # type: ignore[union-attr]
    assert judged["class 4"]["precision"] == Estimate(None)
    assert judged["class 4"]["f1"].value == 0  # type: ignore[union-attr]


def test_ece_is_the_sum_over_fifteen_bins() -> None:
    table, labels = noisy(500, 3)
    confidence, right = table.max(axis=1), table.argmax(axis=1) == labels
    total = 0.0
    for m in range(15):
        inside = (confidence > m / 15) & (confidence <= (m + 1) / 15)
        total += abs(right[inside].sum() - confidence[inside].sum()) / 500
    assert score("ece", table, labels) == pytest.approx(total)
    assert score("ece", np.array([[1.0, 0.0]] * 4), np.array([0, 0, 0, 1])) == pytest.approx(0.25)


def test_the_shape_of_metrics_json() -> None:
    table, labels = noisy(60, 3)
    plain = judge(table, labels, ["cat", "n", "p:x"], weights=np.full(60, 0.5), replicates=20).to_json()
    assert list(plain) == ["n", *[name for name in NAMES if name != "weighted_accuracy"], "per_class", "confusion"]
    assert plain["n"] == 60
    for name in NAMES:
        if name != "weighted_accuracy":
            assert list(plain[name]) == ["value", "low", "high"]
            assert plain[name]["low"] <= plain[name]["value"] <= plain[name]["high"]
    assert list(plain["per_class"]) == ["cat", "n", "p:x"]
    assert list(plain["per_class"]["n"]) == ["n", "precision", "recall", "f1", "auc"]
    assert np.sum(plain["confusion"]) == 60
    assert "weighted_accuracy" in judge(table, labels, ["a", "b", "c"], weights=labels + 1.0, replicates=20).to_json()


def test_the_majority_is_that_of_the_training_part() -> None:
    table, labels = np.tile([0.6, 0.4], (10, 1)), np.array([0] * 7 + [1] * 3)
    rare, common = (values(judge(table, labels, ["a", "b"], majority=majority, replicates=20).figures) for majority in (1, None))
    assert (rare["majority_baseline"], rare["gain"]) == pytest.approx((0.3, 0.4))
    assert (common["majority_baseline"], common["gain"]) == pytest.approx((0.7, 0))
    assert score("majority_baseline", table, labels) == 0.7
    assert score("gain", table, labels) == 0


def test_what_is_undefined_is_none() -> None:
    table, labels = noisy(40, 3)
    judged = judge(table[labels == 1], labels[labels == 1], NAMES_OF[3], replicates=20)
    assert judged.figures["auc"] == Estimate(None)
    assert judged.per_class["class 0"]["recall"] == Estimate(None)
    assert math.isnan(score("auc", table[labels == 1], labels[labels == 1]))
    one_group = judge(table, labels, NAMES_OF[3], groups=np.zeros(40), replicates=20)
    assert one_group.figures["nll"].value is not None
    assert {figure.low for figure in one_group.figures.values()} == {None}


def test_the_seed_fixes_the_intervals() -> None:
    table, labels = noisy(100, 3)
    first, same, other = (judge(table, labels, NAMES_OF[3], replicates=50, seed=seed).to_json() for seed in (0, 0, 1))
    assert first == same
    assert first["nll"] != other["nll"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table, labels: (table[:, :2], labels), r"expected probabilities \(60, 3\) with at least one row, got \(60, 2\)"),
        (lambda table, labels: (table[:0], labels[:0]), r"expected probabilities \(0, 3\) with at least one row"),
        (lambda table, labels: (table, labels + 1), "expected labels in 0 to 2, got 1 to 3"),
        (lambda table, labels: (np.where(table > 0.9, np.nan, table), labels), "expected finite probabilities"),
    ],
)
def test_arrays_that_do_not_fit(change: Callable[[Floats, Ints], tuple[Floats, Ints]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(*change(*noisy(60, 3)), NAMES_OF[3])


def test_an_unknown_metric_gets_the_closest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean 'accuracy'"):
        score("acuracy", *noisy(10, 2))


# ---- intervals -------------------------------------------------------------------------------------------------


def test_all_right_is_not_certain() -> None:
    labels = np.array([0] * 40 + [1] * 10)
    table = np.eye(2)[labels] * 0.8 + 0.1
    judged = judge(table, labels, ["a", "b"], replicates=50)
    assert judged.figures["accuracy"] == Estimate(1.0, float(wilson(1, 50)[0]), 1.0)
    for name, least in (("balanced_accuracy", 0.85), ("macro_f1", 0.85), ("auc", 0.9)):
        assert judged.figures[name].value == 1.0
        assert least < (judged.figures[name].low or 0) < 0.96
    for row in judged.per_class.values():
        low, high = wilson(1, row["n"])  # type: ignore[arg-type]
        assert row["recall"] == row["precision"] == Estimate(1.0, float(low), float(high))
    grouped = judge(table, labels, ["a", "b"], groups=np.arange(50) // 5, replicates=50)
    assert (grouped.figures["accuracy"].low or 1) < 0.95
    assert (grouped.per_class["b"]["recall"].low or 1) < 0.8  # type: ignore[union-attr]


def test_intervals_hold_the_truth_about_95_times_in_100() -> None:
    rounds, names = 120, ("accuracy", "balanced_accuracy", "macro_f1", "auc", "nll", "brier", "ece", "gain")
    large = judge(*noisy(50_000, 3, seed=99), NAMES_OF[3], majority=0, replicates=1)
    truth = values(large.figures)
    recall = large.per_class["class 1"]["recall"].value  # type: ignore[union-attr]
    held = dict.fromkeys([*names, "recall"], 0)
    for seed in range(rounds):
        judged = judge(*noisy(150, 3, seed=seed), NAMES_OF[3], majority=0, replicates=200)
        rows: dict[str, Any] = {**judged.figures, "recall": judged.per_class["class 1"]["recall"]}
        for name in held:
            held[name] += rows[name].low <= (recall if name == "recall" else truth[name]) <= rows[name].high
    # With a true coverage of 95 %, fewer than 106 of 120 has a chance of 0.1 %; the estimate of the truth adds nothing visible.
    assert {name: count for name, count in held.items() if count < 106} == {}


def clustered(rng: np.random.Generator, n_groups: int = 25, size: int = 12) -> tuple[Floats, Ints, Ints]:
    """Return images of which whole groups are easy or hard, and whole groups are mostly of one class (class 0: 60 %)."""
    groups = np.repeat(np.arange(n_groups), size)
    labels = (rng.random(len(groups)) > np.repeat(rng.choice([0.3, 0.9], size=n_groups), size)).astype(np.intp)
    right = rng.random(len(groups)) < np.repeat(rng.choice([0.55, 0.95], size=n_groups), size)
    confidence = rng.uniform(0.6, 0.9, size=len(groups))
    own = np.where(right, confidence, 1 - confidence)
    return np.where(np.eye(2, dtype=bool)[labels], own[:, None], 1 - own[:, None]), labels, groups


def test_groups_widen_the_interval_until_it_holds_the_truth() -> None:
    rng, rounds, truth = np.random.default_rng(0), 120, {"accuracy": 0.75, "gain": 0.15}
    held, alone, width = dict.fromkeys(truth, 0), 0, [0.0, 0.0]
    for _ in range(rounds):
        table, labels, groups = clustered(rng)
        figures = judge(table, labels, ["a", "b"], groups=groups, majority=0, replicates=200).figures
        for name, value in truth.items():
            held[name] += (figures[name].low or 0) <= value <= (figures[name].high or 0)
        low, high = wilson(figures["accuracy"].value or 0, len(labels))  # as if independent
        alone += bool(low <= 0.75 <= high)
        width[0] += ((figures["accuracy"].high or 0) - (figures["accuracy"].low or 0)) / rounds
        width[1] += float(high - low) / rounds
    assert min(held.values()) >= 106
    assert alone < 100  # true coverage about 70 %
    assert width[0] > 1.5 * width[1]


def test_a_gain_in_every_group_is_certain_however_much_the_groups_differ() -> None:
    """Groups of 10 % to 100 % of class a: accuracy may be as low as the baseline's value, and the model still beats it."""
    labels = np.concatenate([np.repeat([0, 1], [common, 20 - common]) for common in (20, 18, 16, 8, 2) * 2])
    groups = np.repeat(np.arange(10), 20)
    wrong = np.concatenate([np.arange(20) >= 20 - (20 - common) // 2 for common in (20, 18, 16, 8, 2) * 2])
    own = np.where(wrong, 0.2, 0.8)
    table = np.where(np.eye(2, dtype=bool)[labels], own[:, None], 1 - own[:, None])
    figures = judge(table, labels, ["a", "b"], groups=groups).figures
    assert (figures["accuracy"].value, figures["majority_baseline"].value) == (0.82, 0.64)
    assert figures["gain"].value == pytest.approx(0.18)
    assert (figures["accuracy"].low or 1) < (figures["majority_baseline"].high or 0) - 0.1
    assert 0.02 < (figures["gain"].low or 0) < 0.1


def test_groups_of_one_are_no_groups() -> None:
    table, labels = noisy(50, 2)
    assert judge(table, labels, ["a", "b"], groups=np.arange(50)[::-1], replicates=50) == judge(table, labels, ["a", "b"], replicates=50)


# ---- size ------------------------------------------------------------------------------------------------------


def test_a_hundred_classes_with_a_thousand_resamples_is_quick() -> None:
    table, labels = noisy(2000, 100 + 1, skill=3)
    started = time.process_time()
    judged = judge(table[:, :100] / table[:, :100].sum(1, keepdims=True), np.minimum(labels, 99), [str(i) for i in range(100)])
    assert time.process_time() - started < 8  # about 1 s; room for a busy machine
    assert judged.figures["auc"].low is not None
    assert judged.confusion is not None


def test_many_classes_keep_time_and_memory_bounded() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(800, size=800)
    table = rng.random((800, 800), dtype=np.float32)
    table[np.arange(800), labels] += 1
    table /= table.sum(axis=1, keepdims=True)
    started = time.process_time()
    tracemalloc.start()
    judged = judge(table, labels, [str(i) for i in range(800)], replicates=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started < 5
    assert peak < 60e6  # every class of every resample at once would be 512 MB
    assert judged.confusion is None
    assert list(judged.per_class["0"]) == ["n", "precision", "recall", "f1"]
    assert judged.figures["auc"].value == pytest.approx(score("auc", table.astype(np.float64), labels))


def test_macro_auc_gets_fewer_resamples_and_then_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    table, labels = noisy(100, 5)
    full = judge(table, labels, NAMES_OF[5], replicates=300).figures
    monkeypatch.setattr("seefit.evaluation.metrics._AUC_WORK", 100 * 100 * 5)
    fewer = judge(table, labels, NAMES_OF[5], replicates=300).figures
    monkeypatch.setattr("seefit.evaluation.metrics._AUC_WORK", 100 * 100 * 5 - 1)
    none = judge(table, labels, NAMES_OF[5], replicates=300).figures
    assert full["auc"].value == fewer["auc"].value == none["auc"].value
    assert fewer["auc"].low is not None
    assert (none["auc"].low, none["auc"].high) == (None, None)
    assert full["macro_f1"] == fewer["macro_f1"] == none["macro_f1"]
