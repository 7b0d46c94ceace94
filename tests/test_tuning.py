"""The page of a search: what it says follows from the record, in both languages."""

from __future__ import annotations

import copy
from html import unescape
from typing import Any

import pytest

from seefit.report.tuning import build_tuning, tell_gain, tell_settings
from seefit.report.words import Words

EN = Words("en")


def made_trial(number: int, score: float | None, state: str = "whole", **params: Any) -> dict[str, Any]:
    so_far, why = (None, "a <b>bad</b> value") if state == "failed" else (score or 0.55, "")
    folds = [] if so_far is None else [so_far] * 5
    return {
        "number": number,
        "state": state,
        "score": score,
        "so_far": so_far,
        "folds": folds,
        "seconds": 2.5,
        "params": params,
        "why": why,
    }


def made_record() -> dict[str, Any]:
    trials = [made_trial(i, 0.70 + i / 1000, backbone="lite0", image_size=None) for i in range(1, 13)]
    trials += [made_trial(13, None, "given up", backbone="<i>x", image_size=300), made_trial(14, None, "failed", backbone="lite1")]
    trials.append(made_trial(15, 0.764, backbone="lite1", image_size=300))
    figures = {name: {"value": 0.75, "low": 0.61, "high": 0.85} for name in ("balanced_accuracy", "accuracy", "macro_f1", "auc")}
    return {
        "tune": "/somewhere/tunes/cells",
        "data": "cells",
        "method": "probe",
        "asked": {"trials": 15, "minutes": None},
        "possible": 36,
        "ended": "trials",
        "counts": {"whole": 13, "given up": 1, "failed": 1},
        "seconds": 37.5,
        "images": 1800,
        "folds": 5,
        "engines": ["openvino-bf16"],
        "fixed": {"method": "probe"},
        "searched": {"backbone": ["lite0", "lite1"], "image_size": ["default", 300], "lr": {"low": 0.001, "high": 0.1, "log": True}},
        "best": trials[-1],
        "first": trials[0],
        "gain": {"value": 0.063, "p": 0.2, "shown": False},
        "importance": {"backbone": 0.8, "image_size": 0.2},
        "trials": trials,
        "winner": {"run": "tunes/cells/winner", "part": "test", "times_scored": 1, "figures": {"n": 410, **figures}},
    }


@pytest.fixture
def record() -> dict[str, Any]:
    return copy.deepcopy(made_record())


def test_the_verdict_tells_winner_gain_and_the_figure_to_report(record: dict[str, Any]) -> None:
    page = unescape(build_tuning(record, EN))
    assert "Trial 15 of 15 came out best" in page
    assert "backbone lite1, image-size 300" in page
    assert "reached 76.4\u00a0% balanced accuracy" in page
    assert "+6.3 points" in page
    assert "not shown" in page
    assert "410 test images that the search never saw, it reaches a balanced accuracy of 75.0\u00a0%" in page
    assert "61.0 to 85.0\u00a0%" in page
    assert "Do not report it" in page
    assert "seefit tune --out /somewhere/tunes/cells --trials 30" in page
    assert page.count("/somewhere") == 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_kind_of_end_has_its_words(record: dict[str, Any], lang: str) -> None:
    words = Words(lang)
    for ended in ("trials", "minutes", "exhausted"):
        for part in ("test", "val"):
            record |= {"ended": ended, "importance": None}
            record["winner"] |= {"part": part, "times_scored": 3}
            page = build_tuning(record, words)
            assert words("tuning.again_why", times=3) in unescape(page)
            assert "tuning-importance" not in page
            assert "{" not in page[page.index("<main") :].split("<svg")[0]
            assert ("seefit tune --out" in page) is (ended != "exhausted")


def test_what_users_wrote_is_escaped_and_failures_are_told(record: dict[str, Any]) -> None:
    page = build_tuning(record, EN)
    assert "<i>x" not in page
    assert "<b>bad" not in page
    assert "Trial 14 failed: a <b>bad</b> value." in unescape(page)
    assert "given up (55.0\u00a0%)" in page


def test_the_gain_says_what_may_be_said(record: dict[str, Any]) -> None:
    assert "not shown" in tell_gain(record, EN)
    record["gain"] = {"value": 0.063, "p": 0.002, "shown": True}
    assert "more than chance (p = 0.002)" in tell_gain(record, EN)
    record["gain"] = None
    assert "nothing to hold it against" in tell_gain(record, EN)
    record["best"] = record["first"]
    assert "Keep them" in tell_gain(record, EN)
    assert "None of 15 trials beat" in unescape(build_tuning(record, EN))


def test_settings_on_one_line() -> None:
    assert tell_settings({"image_size": None, "class_weights": "prior"}) == "image-size default, class-weights prior"
