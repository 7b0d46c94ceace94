"""Curves equal scikit-learn's; bands hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.curves import GRID, class_curves, vertices
from seefit.evaluation.intervals import Floats, Ints
from seefit.evaluation.roc import ranked_classes


def scores(n: int, classes: int, *, ties: bool = False, seed: int = 0, strength: float = 1.0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    logits = rng.normal(size=(n, classes)) + strength * np.eye(classes)[labels]
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return (np.round(table, 1) if ties else table), labels.astype(np.intp)


@pytest.mark.parametrize("ties", [False, True])
def test_corners_and_areas_are_scikit_learns(ties: bool) -> None:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    table, labels = scores(200, 3, ties=ties)
    found, _ = class_curves(table, labels, replicates=2)
    for curves, ranks in zip(found, ranked_classes(table, labels), strict=True):
        own = labels == curves.number
        fp, tp = vertices(ranks, np.ones((200, 1), np.float32))
        rates, recalls, _ = roc_curve(own, table[:, curves.number], drop_intermediate=False)
        highest = [recalls[rates == rate].max() for rate in rates]
        np.testing.assert_allclose(np.interp(rates, fp[:, 0] / fp[-1], tp[:, 0] / tp[-1]), highest, atol=1e-12)
        np.testing.assert_allclose(curves.roc.value, np.interp(GRID, rates, recalls), atol=1e-12)
        precision, recall, _ = precision_recall_curve(own, table[:, curves.number])
        expected = [precision[np.flatnonzero(recall >= r - 1e-9)[-1]] if r > 0 else None for r in GRID]
        np.testing.assert_allclose(curves.precision.value[1:], np.array(expected[1:], float), atol=1e-12)
        assert curves.average_precision.value == pytest.approx(average_precision_score(own, table[:, curves.number]))
        assert curves.auc.value == pytest.approx(roc_auc_score(own, table[:, curves.number]))
        assert (curves.positives, curves.share) == (own.sum(), own.mean())


def test_a_resample_is_the_curve_of_images_really_repeated() -> None:
    from sklearn.metrics import roc_curve

    table, labels = scores(60, 2, ties=True)
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=5).T.astype(np.float32)
    ranks = list(ranked_classes(table, labels))[1]
    fp, tp = vertices(ranks, counts)
    for column in range(5):
        drawn = np.repeat(np.arange(60), counts[:, column].astype(int))
        rates, recalls, _ = roc_curve(labels[drawn] == 1, table[drawn, 1], drop_intermediate=False)
        ours = np.interp(GRID, fp[:, column] / fp[-1, column], tp[:, column] / tp[-1, column])
        np.testing.assert_allclose(ours, np.interp(GRID, rates, recalls), atol=1e-12)


def test_the_mean_is_the_mean_over_classes_with_images() -> None:
    table, labels = scores(150, 4)
    labels[labels == 3] = 0
    found, mean = class_curves(table, labels, replicates=2)
    assert mean is not None
    assert [curves.number for curves in found] == [0, 1, 2]
    np.testing.assert_allclose(mean.roc.value, np.mean([curves.roc.value for curves in found], axis=0))
    np.testing.assert_allclose(mean.precision.value, np.mean([curves.precision.value for curves in found], axis=0))
    assert mean.auc.value == pytest.approx(np.mean([curves.auc.value for curves in found]))


def test_bands_hold_the_curve_and_perfect_scores_are_not_certain() -> None:
    labels = np.repeat([0, 1], 20).astype(np.intp)
    table = np.eye(2)[labels]
    found, mean = class_curves(table, labels)
    assert mean is not None
    for curves, least in ((found[0], 0.839), (found[1], 0.839), (mean, 0.912)):
        assert (curves.roc.value == 1).all()
        assert curves.roc.low.min() == pytest.approx(least, abs=1e-3), "20 of 20 may be 84 %"
        assert curves.average_precision.low == pytest.approx(least, abs=1e-3)
    table, labels = scores(300, 2)
    for curves in class_curves(table, labels)[0]:
        for band in (curves.roc, curves.precision):
            assert (band.low <= band.value + 1e-12).all()
            assert (band.value <= band.high + 1e-12).all()


def test_the_band_of_the_share_found_holds_the_truth_nineteen_times_of_twenty() -> None:
    """Normal scores one apart: at a false-alarm rate of 0.2 the share found is Phi(Phi^-1(0.2) + 1) = 0.563."""
    rng, held, trials = np.random.default_rng(0), 0, 50
    for _ in range(trials):
        labels = np.repeat([0, 1], [60, 40]).astype(np.intp)
        logits = rng.normal(size=100) + labels
        table = np.stack([-logits, logits], axis=1)
        band = class_curves(table, labels, replicates=100)[0][1].roc
        held += bool(band.low[20] <= 0.5628 <= band.high[20])
    assert held / trials > 0.9


def test_groups_widen_the_band() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 100).astype(np.intp)
    groups = np.repeat(np.arange(10), 20)
    logits = 1.5 * labels + rng.normal(size=10)[groups] * 2 * labels + rng.normal(size=200)
    table = np.stack([-logits, logits], axis=1)
    alone, together = (class_curves(table, labels, groups=units)[0][1].roc for units in (None, groups))
    assert (together.high - together.low)[20] > 1.5 * (alone.high - alone.low)[20]


def test_one_group_or_one_class_tells_no_band() -> None:
    table, labels = scores(40, 2)
    assert np.isnan(class_curves(table, labels, groups=np.zeros(40, np.int64))[0][0].roc.low).all()
    assert class_curves(table, np.zeros(40, np.intp)) == ([], None)


def test_many_classes_get_a_mean_without_a_band() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(400), 2)
    table = rng.random((800, 400)) + 0.3 * np.eye(400)[labels]
    found, mean = class_curves(table, labels)
    assert mean is not None
    assert len(found) == 400
    assert np.isnan(mean.roc.low).all()
    assert mean.auc.low is None
    assert 0.6 < (mean.auc.value or 0) < 0.99
