"""The sentence that says why a network was chosen."""

from __future__ import annotations

from typing import Any

import pytest

from seefit.report.choice import choice_sentence, choice_table
from seefit.report.words import LANGUAGES, Words

DROPPED = {"backbone": "lite0", "images": 500, "balanced_accuracy": 0.7, "behind": 0.1, "error": 0.02}
NEAR = {"backbone": "lite1", "images": 1000, "balanced_accuracy": 0.798, "behind": 0.002, "error": 0.01}
BEST = {"backbone": "lite2", "images": 1000, "balanced_accuracy": 0.8, "behind": 0.0, "error": 0.0}


def told(lang: str = "en", **choice: Any) -> str:
    usual: dict[str, Any] = {"minutes": 1.0, "images": 1000, "folds": 5, "candidates": [DROPPED, NEAR, BEST], "left_out": {}}
    return choice_sentence(usual | choice, Words(lang)).replace("\N{NO-BREAK SPACE}", " ")


def test_the_best_and_what_was_dropped() -> None:
    sentence = told(backbone="lite2", why="best")
    assert sentence.startswith("The network, lite2, was chosen among lite0, lite1, lite2 by heads fitted over 5 folds of 1,000 training")
    assert "lite0 70.0 % (of 500 pictures, then it was clearly behind), lite1 79.8 %, lite2 80.0 %. It has the highest." in sentence


def test_the_cheaper_one_is_told_with_the_one_it_was_preferred_to() -> None:
    sentence = told(backbone="lite1", why="cheapest", left_out={"mine": "time"})
    assert "lite2 has the highest, but by only 0.2 points with a standard error of 1.0, so the cheaper network was taken." in sentence
    assert sentence.endswith("Not looked at, for want of time or because it cannot be used here: mine.")


@pytest.mark.parametrize(("why", "part"), [("only", "the only one"), ("time", "no time to compare"), ("folds", "too small for folds")])
def test_nothing_was_compared(why: str, part: str) -> None:
    assert part in told(backbone="lite0", why=why, candidates=[])


def test_the_table_has_the_best_first() -> None:
    rated = {**NEAR, "images_per_second": 81.4}
    table = choice_table({"candidates": [DROPPED, rated, BEST]}, Words("en"))
    assert table is not None
    assert [[cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row] for row in table.rows] == [
        ["lite2", "80.0 %", "0.0", "0.0", "1,000", "–"],
        ["lite1", "79.8 %", "0.2", "1.0", "1,000", "81"],
        ["lite0", "70.0 %", "10.0", "2.0", "500", "–"],
    ]
    assert choice_table({"candidates": []}, Words("zh")) is None


@pytest.mark.parametrize("lang", LANGUAGES)
def test_names_are_no_markup(lang: str) -> None:
    assert "\x1b" not in told(lang, backbone="a\x1bb", why="only", candidates=[])
