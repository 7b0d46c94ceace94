"""The advice after a probe: four corners of size and likeness."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from seefit.evaluation.advice import ALIKE, LARGE, STRATEGIES, Advice, advise, is_done
from seefit.report.steps import advice_sentence
from seefit.report.words import Words


@pytest.mark.parametrize(
    ("images", "balanced_accuracy", "strategy"),
    [
        (40, 0.99, "head"),
        (40, 0.80, "top"),
        (5_000, 0.99, "top"),
        (5_000, 0.80, "everything"),
    ],
)
def test_the_four_corners(images: int, balanced_accuracy: float, strategy: str) -> None:
    assert advise([images, images], balanced_accuracy).strategy == strategy


def test_the_corners_meet_at_the_stated_numbers() -> None:
    assert advise([LARGE - 1] * 2, 0.8).strategy == "top"
    assert advise([LARGE] * 2, 0.8).strategy == "everything"
    at = 0.5 + ALIKE / 2
    assert advise([40, 40], at + 1e-9).strategy == "head"
    assert advise([40, 40], at - 1e-9).strategy == "top"


def test_reach_takes_guessing_off_whatever_the_number_of_classes() -> None:
    assert advise([9, 9], 0.75).reach == pytest.approx(0.5)
    assert advise([9] * 10, 0.55).reach == pytest.approx(0.5)
    assert advise([9, 9], 0.3).reach == 0
    assert advise([9, 9, 9], 1).reach == 1


def test_a_typical_class_is_no_larger_than_half_of_them() -> None:
    """One huge class among small ones, or one small class among large ones, decides nothing; of two classes the smaller counts."""
    assert advise([90_000, 40, 30], 0.8).images_per_class == 40
    assert advise([5_000, 4_000, 3], 0.8).images_per_class == 4_000
    assert advise([2_000, 30], 0.8).images_per_class == 30
    assert advise([2_000, 30, 0], 0.8).images_per_class == 30  # a class without training images is none


def test_what_a_run_trained_is_compared_with_what_is_advised() -> None:
    done = {(advised, did): is_done({"strategy": advised, "done": did}) for advised in STRATEGIES for did in STRATEGIES}
    assert [pair for pair, enough in done.items() if not enough] == [("top", "head"), ("everything", "head"), ("everything", "top")]


@pytest.mark.parametrize(
    ("advice", "sentence"),
    [
        (
            Advice("head", 40, 0.98),
            "Train the head only: the frozen features get 98\u00a0% of the way from guessing to perfect, so little is left to win, "
            "and a typical class has 40 training images, fewer than 1,000.",
        ),
        (
            Advice("top", 575, 0.6),
            "Train the top stages too: the frozen features get only 60\u00a0% of the way from guessing to perfect, so these pictures "
            "are hard, or unlike those that the network learnt from. A typical class has 575 training images, fewer than 1,000: "
            "too few to train everything.",
        ),
        (
            Advice("top", 5000, 0.98),
            "Train the top stages too: a typical class has 5,000 training images, enough to train on, and the frozen features get "
            "98\u00a0% of the way from guessing to perfect, so the lower layers can stay as they are.",
        ),
        (
            Advice("everything", 5000, 0.6),
            "Train everything: a typical class has 5,000 training images, enough to train on, and the frozen features get only "
            "60\u00a0% of the way from guessing to perfect, so these pictures are hard, or unlike those that the network learnt from.",
        ),
    ],
)
def test_why_is_said_from_the_two_quantities(advice: Advice, sentence: str) -> None:
    assert advice_sentence(asdict(advice), Words("en")) == sentence
    chinese = advice_sentence(asdict(advice), Words("zh"))
    assert f"{advice.images_per_class:,} 张" in chinese and f"{advice.reach:.0%}" in chinese
