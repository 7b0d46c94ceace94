"""What held-out images tell of scores: fitted, kept in the bundle, told with every prediction."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seefit.bundle.confidence import TOLD, Confidence, Point, ScoreBin, Share
from seefit.evaluation.calibrate import reliability
from seefit.evaluation.confidence import fit_confidence
from seefit.evaluation.metrics import judge
from seefit.evaluation.selective import selective_curve

CONFIDENCE = Confidence(
    Share(0.03, 0.01, 0.06),
    (ScoreBin(0.6, 0.8, 10, 0.7, Share(0.75, 0.5, 0.9)), ScoreBin(0.8, 1.0, 30, 0.95, Share(0.9, 0.8, 0.97))),
    (Point(0.99, 0.25, Share(1.0, 0.7, 1.0)), Point(0.8, 0.75, Share(0.9, 0.7, 0.98)), Point(0.55, 1.0, Share(0.8, 0.7, 0.9))),
)


def honest(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities of two classes, and labels drawn by them."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0, 1, n)
    return np.stack([first, 1 - first], axis=1), (rng.random(n) > first).astype(int)


def width(share: Share) -> float:
    assert share.low is not None
    assert share.high is not None
    return share.high - share.low


def test_a_score_is_compared_with_its_bin_and_with_all_that_are_as_sure() -> None:
    assert CONFIDENCE.of(0.7) == dict(zip(TOLD, (0.75, 0.5, 0.9, 0.75, 0.9, 0.7, 0.98), strict=True))
    assert CONFIDENCE.of(0.8) == dict(zip(TOLD, (0.75, 0.5, 0.9, 0.75, 0.9, 0.7, 0.98), strict=True)), "a bin holds its upper end"
    assert CONFIDENCE.of(1.0) == dict(zip(TOLD, (0.9, 0.8, 0.97, 0.25, 1.0, 0.7, 1.0), strict=True))


def test_a_score_that_no_held_out_image_had() -> None:
    told = CONFIDENCE.of(0.5)
    assert [told[key] for key in TOLD[:3]] == [None, None, None]
    assert (told["selective_coverage"], told["selective_accuracy"]) == (1.0, 0.8)


def test_the_point_nearest_to_a_share() -> None:
    assert CONFIDENCE.point_for(0.7).score == 0.8
    assert CONFIDENCE.point_for(1.0).score == 0.55


def test_what_a_manifest_holds_is_read_back() -> None:
    assert Confidence.from_json(json.loads(json.dumps(CONFIDENCE.to_json()))) == Confidence(
        CONFIDENCE.ece, list(CONFIDENCE.bins), list(CONFIDENCE.curve)
    )
    assert CONFIDENCE.is_sound()


def test_the_figures_are_those_of_the_report() -> None:
    probabilities, labels = honest(500, 0)
    found, judged = fit_confidence(probabilities, labels), judge(probabilities, labels, ["a", "b"]).figures["ece"]
    assert tuple(found.ece) == pytest.approx((judged.value, judged.low, judged.high))
    bins = [(one.low, one.high, one.confidence, one.accuracy.value, one.images) for one in found.bins]
    assert bins == [tuple(one) for one in reliability(probabilities, labels)]
    assert all(one.accuracy.low is not None and one.accuracy.low <= one.accuracy.value for one in found.bins)
    curve = selective_curve(probabilities.max(1), probabilities.argmax(1) == labels)
    assert [point.coverage for point in found.curve] == curve.shares.tolist()
    assert [point.accuracy for point in found.curve] == [Share(*row) for row in zip(curve.accuracy, curve.low, curve.high, strict=True)]


def test_what_it_promises_holds_for_fresh_images() -> None:
    found = fit_confidence(*honest(4000, 1))
    probabilities, labels = honest(4000, 2)
    sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    for coverage in (0.2, 0.5, 0.8):
        point = found.point_for(coverage)
        assert (sure >= point.score).mean() == pytest.approx(point.coverage, abs=0.03)
        assert right[sure >= point.score].mean() == pytest.approx(point.accuracy.value, abs=0.03)
    told = [found.of(score)["reliability"] for score in sure]
    assert np.mean(np.array(told, float)) == pytest.approx(right.mean(), abs=0.03)


def test_the_score_of_a_point_is_that_of_the_last_image_answered() -> None:
    probabilities, labels = honest(40, 3)
    sure = np.sort(probabilities.max(1))[::-1]
    assert [point.score for point in fit_confidence(probabilities, labels).curve] == sure.tolist()


def test_groups_widen_the_intervals() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 50)
    right = rng.random(1000) < rng.uniform(0.4, 1, 20)[groups]
    probabilities = np.tile([0.3, 0.7], (1000, 1))
    plain, grouped = fit_confidence(probabilities, right.astype(int)), fit_confidence(probabilities, right.astype(int), groups)
    for alone, together in ((plain.bins[0].accuracy, grouped.bins[0].accuracy), (plain.curve[-1].accuracy, grouped.curve[-1].accuracy)):
        assert alone.value == together.value
        assert width(together) > 1.5 * width(alone)


def test_many_classes_and_one_image() -> None:
    one = fit_confidence(np.full((1, 1000), 0.001), [0])
    assert one.is_sound()
    assert one.of(0.001)["selective_coverage"] == 1.0
    assert one.ece.low is None, "one image has no interval"
