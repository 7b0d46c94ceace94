"""Slices: which kinds of pictures come out worse, beyond chance."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.slices import Slice, cut_slices, fisher, judge_slices


def members(n: int, count: int) -> np.ndarray:
    return np.arange(n) < count


def test_numbers_are_cut_into_thirds_and_words_into_kinds() -> None:
    values = np.arange(60.0)
    kinds = ["a"] * 30 + ["b"] * 25 + ["c"] * 4 + [None]
    found = cut_slices({"size": values}, {"format": kinds})
    assert [(one.trait, one.value, one.members.sum()) for one in found] == [
        ("size", "low", 20),
        ("size", "middle", 20),
        ("size", "high", 20),
        ("format", "a", 30),
        ("format", "b", 25),
    ]
    assert (found[0].low, found[0].high, found[2].low) == (0, 19, 40)


def test_equal_numbers_stay_together() -> None:
    assert cut_slices({"size": np.full(60, 3.0)}, {}) == []
    two = cut_slices({"size": np.repeat([1.0, 2.0], 30)}, {})
    assert [(one.value, one.members.sum()) for one in two] == [("low", 30), ("high", 30)]
    assert cut_slices({"size": np.array([])}, {}) == []


def test_unknown_numbers_are_in_no_slice() -> None:
    found = cut_slices({"sharpness": np.r_[np.arange(45.0), np.full(15, np.nan)]}, {})
    assert [(one.value, int(one.members[:45].sum()), int(one.members[45:].sum())) for one in found] == [
        ("low", 15, 0),
        ("middle", 15, 0),
        ("high", 15, 0),
    ]
    assert cut_slices({"sharpness": np.full(60, np.nan)}, {}) == []


def test_independent_images_are_judged_by_fisher_and_newcombe() -> None:
    """The example of Newcombe 1998, table II: 56 of 70 against 48 of 80, method 10."""
    right = np.r_[np.arange(70) < 56, np.arange(80) < 48]
    (found,) = judge_slices([Slice("size", "low", members(150, 70))], right)
    from scipy.stats import fisher_exact

    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
    assert found.p == pytest.approx(fisher_exact([[56, 14], [48, 32]]).pvalue)
    assert (found.n, found.accuracy, found.others, found.bad) == (70, 0.8, 0.6, False)


def test_the_worst_that_is_no_chance_comes_first_and_better_ones_last() -> None:
    right = np.r_[np.arange(50) < 20, np.ones(50, bool), np.arange(100) < 80]
    slices = [
        Slice("format", "good", np.arange(200) // 50 == 1),
        Slice("format", "bad", members(200, 50)),
        Slice("format", "so", np.arange(200) >= 150),
    ]
    found = judge_slices(slices, right)
    assert [(one.slice.value, one.bad) for one in found] == [("bad", True), ("so", True), ("good", False)]


def test_a_slice_that_is_worse_in_one_group_only_is_no_finding_where_images_come_in_groups() -> None:
    """Dark pictures are nearly all of one bad group: by images that is certain, by groups it is not."""
    groups = np.repeat(np.arange(6), 30)
    right = np.where(groups == 0, np.arange(180) % 3 == 0, np.arange(180) % 10 > 0)
    dark = (groups == 0) | (np.arange(180) % 30 == 0)
    (alone,) = judge_slices([Slice("brightness", "low", dark)], right)
    (grouped,) = judge_slices([Slice("brightness", "low", dark)], right, groups)
    assert alone.bad
    assert not grouped.bad
    assert (grouped.low, grouped.high) == (-1, 1)
    (itself,) = judge_slices([Slice("group", "first", groups == 0)], right, groups)
    assert itself.bad, "that this very group is worse is a matter of its images"


def test_groups_never_make_it_surer_and_one_group_tells_nothing() -> None:
    right, groups = np.arange(80) % 2 == 0, np.repeat(np.arange(4), 20)
    dark = np.arange(80) % 4 < 2
    (alone,), (grouped,) = (judge_slices([Slice("size", "low", dark)], right, units) for units in (None, groups))
    assert (grouped.low, grouped.high, grouped.p) == (alone.low, alone.high, alone.p)
    (one,) = judge_slices([Slice("size", "low", dark)], right, np.zeros(80, int))
    assert (one.low, one.high, one.p) == (-1, 1, 1)


def test_slices_of_chance_are_seldom_called_bad() -> None:
    """Of 200 data sets without a bad slice, 15 slices each, about 5 % or fewer name one."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        numbers = {name: rng.normal(size=200) for name in "abcde"}
        wrong += any(one.bad for one in judge_slices(cut_slices(numbers, {}), rng.random(200) < 0.8))
    assert wrong <= 16


def test_fisher_is_scipys() -> None:
    from scipy.stats import fisher_exact

    rng = np.random.default_rng(0)
    for n, m in rng.integers(1, 400, (60, 2)).tolist():
        hits, others = int(rng.integers(0, n + 1)), int(rng.integers(0, m + 1))
        expected = fisher_exact([[hits, n - hits], [others, m - others]]).pvalue
        assert fisher(hits, n, others, m) == pytest.approx(expected, rel=1e-6, abs=1e-12)
