"""Who is best on the same images, who is clearly worse, and when the cheaper one is taken."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.ranking import Standing, choose, rank

LABELS = np.repeat([0, 1], [90, 10])


def test_classes_count_alike_and_the_error_is_that_of_paired_images() -> None:
    right = np.ones((2, 100))
    right[0, 90:95] = 0  # half of the rare class
    worse, best = rank(right, LABELS, np.arange(100))
    assert (worse.balanced_accuracy, worse.behind) == pytest.approx((0.75, 0.25))
    assert worse.error == pytest.approx(np.sqrt(100 / 99 * 10 * (0.05 * 0.5) ** 2))
    assert (best.balanced_accuracy, best.behind, best.error) == pytest.approx((1, 0, 0))
    assert worse.worse
    assert best.alike


def test_images_that_belong_together_make_the_error_larger() -> None:
    right = np.stack([np.tile([0.0, 0.0, 1.0, 1.0], 25), np.ones(100)])
    alone, together = (rank(right, np.zeros(100, np.int64), units)[0].error for units in (np.arange(100), np.arange(100) // 2))
    assert together == pytest.approx(np.sqrt(2) * alone, rel=0.01)


def test_what_an_image_does_to_both_cancels_out() -> None:
    right = np.tile(np.random.default_rng(0).random(100) < 0.6, (2, 1)).astype(float)
    assert [(standing.behind, standing.error) for standing in rank(right, LABELS, np.arange(100))] == [(0, 0), (0, 0)]


def test_the_cheapest_of_those_about_as_good_is_taken() -> None:
    far, near, best, dear = Standing(0.7, 0.1, 0.02), Standing(0.79, 0.01, 0.02), Standing(0.8, 0, 0), Standing(0.795, 0.005, 0.02)
    assert choose([far, near, best, dear]) == 1
    assert choose([far, best, dear]) == 1
    assert [standing.worse for standing in (far, near, best, dear)] == [True, False, False, False]
