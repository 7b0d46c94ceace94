"""The sentence of a difference: the stated words, in both languages."""

from __future__ import annotations

import pytest

from seefit.evaluation.intervals import Estimate
from seefit.evaluation.paired import Paired
from seefit.report.difference import tell_difference, write_p
from seefit.report.words import Words

EN = Words("en")


def test_the_stated_words() -> None:
    found = Paired(0.007, -0.003, 0.017, 0.15, 15, 0.4, 0.012)
    assert tell_difference(found, 0.15, 15, "folds", EN) == "+0.7 points [−0.3, +1.7], p = 0.15, 15 folds: not shown to help"
    better, worse = Paired(0.02, 0.01, 0.03, 0.002, 30, 1, 0.01), Paired(-0.02, -0.03, -0.01, 0.0002, 30, -1, 0.01)
    assert tell_difference(better, 0.002, 30, "folds", EN) == "+2.0 points [+1.0, +3.0], p = 0.002, 30 folds: shown to help"
    assert tell_difference(worse, 0.0002, 30, "folds", EN) == "−2.0 points [−3.0, −1.0], p < 0.001, 30 folds: shown to hurt"


def test_the_p_value_decides_not_the_interval() -> None:
    found = Paired(0.02, 0.01, 0.03, 0.02, 30, 1, 0.01)
    assert tell_difference(found, 0.06, 30, "folds", EN).endswith("p = 0.060, 30 folds: not shown to help")


def test_models_are_better_or_worse() -> None:
    found = Estimate(-0.031, -0.05, -0.012)
    assert tell_difference(found, 0.004, 1656, "images", EN) == "−3.1 points [−5.0, −1.2], p = 0.004, 1,656 images: shown to be worse"
    assert tell_difference(Estimate(0.0, None, None), 1.0, 9, "images", EN) == "0 points [?, ?], p = 1.00, 9 images: not shown to differ"
    assert tell_difference(Estimate(None), 1.0, 9, "images", EN) == "not defined on these images"


def test_chinese() -> None:
    found = Paired(0.007, -0.003, 0.017, 0.15, 15, 0.4, 0.012)
    assert tell_difference(found, 0.15, 15, "folds", Words("zh")) == "+0.7 个百分点 [−0.3, +1.7]，p = 0.15，15 折：未显示有帮助"


@pytest.mark.parametrize(("p", "text"), [(0.0499, "0.050"), (0.0494, "0.049"), (0.5, "0.50"), (1.0, "1.00"), (0.1, "0.10")])
def test_p_values(p: float, text: str) -> None:
    assert write_p(p) == f"p = {text}"
