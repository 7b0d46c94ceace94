"""What a run tells on the console."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from seefit.data.split import Split
from seefit.fitting import Fitted
from seefit.settings import make_settings
from seefit.telling import environment_line, interval, say_advice, say_counts, say_folds
from seefit.training.features import FeatureExtractor
from seefit.training.head import Head
from test_cache import Listener

HEAD = Head(np.zeros((2, 3), np.float32), np.zeros(2, np.float32), "logistic", 1.0)


def probe(folds: float | None, val: float | None) -> Fitted:
    def figures(value: float | None) -> dict[str, Any] | None:
        return None if value is None else {"balanced_accuracy": {"value": value, "low": None, "high": None}}

    return Fitted(cast("FeatureExtractor", None), HEAD, 1.0, None, figures(val), figures(folds))


def test_what_it_runs_on_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEFIT_THREADS", "3")
    assert environment_line().startswith("seefit ") and environment_line().endswith(" · 3 threads")


def test_images_are_counted_per_class_and_part() -> None:
    heard = Listener()
    counts = {"train": {"cat": 1200, "dog\n": 3}, "val": {"cat": 2, "dog\n": 1}, "test": {"cat": 0, "dog\n": 0}}
    say_counts(counts, ("cat", "dog\n"), Split([], [], 0, notes=["Small."]), heard)
    assert heard.said == [
        "class           train      val",
        "cat             1,200        2",
        "dog\\n               3        1",
        "in all          1,203        3",
        "  note: Small.",
    ]


def test_of_many_classes_the_first_twenty_are_shown() -> None:
    classes, heard = tuple(f"c{i}" for i in range(23)), Listener()
    say_counts({part: dict.fromkeys(classes, 1) for part in ("train", "val", "test")}, classes, Split([], [], 0), heard)
    assert len(heard.said) == 1 + 20 + 1 + 1
    assert heard.said[-2:] == ["… and 3 more classes: see split.csv", "in all             23       23       23"]


def test_folds_come_with_their_intervals() -> None:
    heard = Listener()
    folds = {"folds": 5, "engine": "e", "balanced_accuracy": {"value": 0.855, "low": 0.7, "high": 0.9}, "accuracy": None}
    say_folds(folds, heard)
    assert heard.said == ["Cross-validation on the training part (5 folds, e): balanced accuracy 85.5% [70.0%, 90.0%]"]
    assert interval({"value": 0.5, "low": None, "high": None}) == "50.0% [–, –]"


@pytest.mark.parametrize(
    ("given", "done", "follow"),
    [
        ({}, "head", "--preset balanced"),
        ({"method": "probe"}, "head", "--preset balanced --method finetune"),
        ({"preset": "balanced"}, "top", "this run does so"),
        ({"preset": "balanced", "freeze": "all"}, "head", "--preset balanced --freeze auto"),
        ({"method": "finetune", "freeze": "none"}, "everything", "this run trains more than that"),
    ],
)
def test_advice_is_told_with_the_options_that_follow_it(given: dict[str, Any], done: str, follow: str) -> None:
    heard = Listener()
    advice = say_advice(make_settings({"data": str(Path("d")), **given}), probe(0.8, None), {"cat": 40, "dog": 50}, heard)
    assert advice is not None
    assert (advice["strategy"], advice["images_per_class"], advice["done"]) == ("top", 40, done)
    assert heard.said == [f"Advice: {advice['text']} ({follow})"]
    assert advice["text"].isprintable()


def test_advice_goes_by_the_folds_then_by_the_validation_part_and_else_says_nothing() -> None:
    settings, counts, heard = make_settings({"data": "d"}), {"cat": 40, "dog": 50}, Listener()
    for folds, val, reach in ((0.8, 0.99, 0.6), (None, 0.9, 0.8)):
        advice = say_advice(settings, probe(folds, val), counts, heard)
        assert advice is not None and advice["reach"] == pytest.approx(reach)
    assert say_advice(settings, probe(None, None), counts, heard) is None
    assert len(heard.said) == 2
    say_advice(settings, probe(0.99, None), counts, heard)
    assert heard.said[-1].startswith("Advice: Train the head only") and not heard.said[-1].endswith(")")
    say_advice(make_settings({"data": "d", "preset": "balanced"}), probe(0.99, None), counts, heard)
    assert heard.said[-1].startswith("Advice: Train the head only") and heard.said[-1].endswith(" (this run trains more than that)")
