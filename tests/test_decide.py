"""A threshold is chosen on one set of images and shown on another, with intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.decide import (
    MOST_BLOCKS,
    Counts,
    cheapest,
    choose_thresholds,
    costs_of,
    count_at,
    finds_enough,
    give,
    make_blocks,
    positive_class,
    right_enough,
)
from seefit.evaluation.intervals import Floats


def draw(n: int, *, seed: int = 0, share: float = 0.3, apart: float = 1.8) -> tuple[Floats, np.ndarray]:
    """Return calibrated scores and which images are positive: two normal distributions, ``apart`` standard deviations between them."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < share
    logits = apart * (rng.normal(size=n) + apart * positive) - apart**2 / 2 + np.log(share / (1 - share))
    return np.asarray(1 / (1 + np.exp(-logits))), positive


@pytest.mark.parametrize(
    ("classes", "counts", "expected"),
    [
        (["defective", "functional"], [700, 300], (0, "name")),
        (["functional", "defective"], [300, 700], (1, "name")),
        (["no_crack", "crack"], [10, 20], (1, "name")),
        (["good", "bad"], [10, 20], (1, "name")),
        (["not defective", "defective"], [10, 20], (1, "name")),
        (["cat", "other"], [10, 5], (0, "name")),
        (["0", "1"], [10, 50], (1, "name")),
        (["type 1", "type 2"], [10, 50], (0, "rare")),
        (["合格", "划痕"], [10, 50], (1, "name")),
        (["cats", "dogs"], [10, 50], (0, "rare")),
        (["cats", "dogs"], [50, 10], (1, "rare")),
        (["cats", "dogs"], [50, 50], (1, "rare")),
    ],
)
def test_what_is_looked_for_is_told_by_the_names_or_is_the_rarer_class(
    classes: list[str], counts: list[int], expected: tuple[int, str]
) -> None:
    assert positive_class(classes, counts) == expected


def test_thresholds_are_few_and_lie_between_scores() -> None:
    scores, positive = draw(5000)
    thresholds = choose_thresholds(scores, positive)
    assert 99 <= len(thresholds) <= 199
    assert (np.diff(thresholds) > 0).all()
    assert {0.01, 0.5, 0.99} <= set(thresholds.tolist())
    assert 0.3 < choose_thresholds(np.array([0.2, 0.4]), np.array([True, True])).mean() < 0.7, "two scores, one class"


def test_counts_are_those_of_a_loop() -> None:
    scores, positive = draw(80)
    scores[3], thresholds = 0.5, np.array([0.1, 0.5, 0.9])
    found = count_at(scores, positive, thresholds)
    assert found.tp.tolist() == [int((positive & (scores >= t)).sum()) for t in thresholds]
    assert found.fp.tolist() == [int((~positive & (scores >= t)).sum()) for t in thresholds]
    assert (found.positives, found.negatives) == (positive.sum(), 80 - positive.sum())
    assert costs_of(found, 2, 5)[1] == pytest.approx((2 * found.fp[1] + 5 * (found.positives - found.tp[1])) / 80)


def test_equal_costs_and_calibrated_scores_leave_the_line_about_the_middle() -> None:
    for seed in range(5):
        scores, positive = draw(150, seed=seed)
        thresholds = choose_thresholds(scores, positive)
        assert 0.25 < thresholds[cheapest(thresholds, count_at(scores, positive, thresholds), 1, 1)] < 0.75


def test_dear_misses_lower_the_line_and_dear_false_alarms_raise_it() -> None:
    scores, positive = draw(600)
    thresholds = choose_thresholds(scores, positive)
    counts = count_at(scores, positive, thresholds)
    low, middle, high = (thresholds[cheapest(thresholds, counts, *costs)] for costs in ((1, 10), (1, 1), (10, 1)))
    assert low < 0.2 < middle < 0.8 < high


def test_scores_that_are_plainly_off_move_the_line_to_where_it_is_cheap() -> None:
    """All scores too low by a factor of four: half of the probability is an eighth."""
    scores, positive = draw(600)
    thresholds = choose_thresholds(scores / 4, positive)
    counts = count_at(scores / 4, positive, thresholds)
    assert thresholds[cheapest(thresholds, counts, 1, 1)] < 0.2


def test_the_careful_choice_costs_less_on_new_images_than_the_cheapest_seen() -> None:
    new = draw(20_000, seed=99)
    ours, lowest = [], []
    for seed in range(40):
        scores, positive = draw(100, seed=seed)
        thresholds = choose_thresholds(scores, positive)
        counts = count_at(scores, positive, thresholds)
        real = costs_of(count_at(*new, thresholds), 1, 10)
        ours.append(real[cheapest(thresholds, counts, 1, 10)])
        lowest.append(real[costs_of(counts, 1, 10).argmin()])
    assert np.mean(ours) < np.mean(lowest)


def test_thresholds_for_a_share_found_or_right() -> None:
    counts = Counts(np.array([100, 96, 95, 94, 30, 5]), np.array([100, 50, 20, 4, 1, 0]), 100, 200)
    assert finds_enough(counts) == 2
    assert right_enough(counts) == 3
    assert right_enough(Counts(np.array([5]), np.array([0]), 100, 200)) is None, "five images prove nothing"
    assert finds_enough(Counts(np.array([5]), np.array([0]), 100, 200)) is None


@pytest.mark.parametrize("grouped", [False, True])
def test_blocks_hold_every_image_once_and_whole_groups(grouped: bool) -> None:
    scores, positive = draw(1000)
    units = np.arange(1000) // 20 if grouped else None
    thresholds = choose_thresholds(scores, positive)
    blocks, whole = make_blocks(scores, positive, thresholds, units), count_at(scores, positive, thresholds)
    assert len(blocks.positives) == (50 if grouped else MOST_BLOCKS)
    counts = blocks.counts()
    assert (counts.tp.tolist(), counts.fp.tolist()) == (whole.tp.tolist(), whole.fp.tolist())
    assert set((blocks.positives + blocks.negatives).sum(axis=1).tolist()) == ({20} if grouped else {5})


def test_what_a_threshold_gives_has_intervals_that_hold() -> None:
    """True values from a million images; 95 of 100 intervals must hold them, and nothing seen is never certain."""
    big, own = draw(1_000_000, seed=7), np.array([0.3, 0.5])
    truth = count_at(*big, own)
    wanted = {
        "found": truth.tp[0] / truth.positives,
        "alarmed": truth.fp[0] / truth.negatives,
        "right": truth.tp[0] / (truth.tp[0] + truth.fp[0]),
        "cost": costs_of(truth, 1, 5)[0],
        "saved": costs_of(truth, 1, 5)[1] - costs_of(truth, 1, 5)[0],
    }
    held = dict.fromkeys(wanted, 0)
    for seed in range(60):
        given = give(make_blocks(*draw(150, seed=1000 + seed), own, None), 0, 1, 1, 5)
        for name, value in wanted.items():
            figure = getattr(given, name)
            held[name] += figure.low <= value <= figure.high
    assert min(held.values()) >= 54


def test_perfect_scores_are_not_certain_and_one_group_tells_nothing() -> None:
    positive = np.arange(40) < 20
    scores = np.where(positive, 0.9, 0.1)
    given = give(make_blocks(scores, positive, np.array([0.5, 0.6]), None), 0, 1, 1, 1)
    assert (given.found.value, given.cost.value, given.cost.low) == (1, 0, 0)
    assert given.found.low == pytest.approx(0.839, abs=1e-3)
    assert given.cost.high is not None
    assert given.cost.high > 0.03
    alone = give(make_blocks(scores, positive, np.array([0.5, 0.6]), np.zeros(40, np.intp)), 0, 1, 1, 1)
    assert (alone.found.value, alone.found.low, alone.cost.value, alone.cost.low) == (1, None, 0, None)
