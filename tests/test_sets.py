"""Sets of classes: what comes into one, and that a manifest gives back what went in."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seefit.bundle.sets import SetRule, content_draws, rank_penalty


def rule(*limits: float, **options: float) -> SetRule:
    return SetRule(0.9, np.array(limits), np.zeros(len(limits), np.bool_), **options)  # type: ignore[arg-type]


def test_a_class_comes_in_while_its_score_is_within_its_limit() -> None:
    table = [[0.2, 0.5, 0.3]]
    assert rule(0.8, 0.8, 0.8).sets(table, None).tolist() == [[False, True, True]]  # scores 1.0, 0.5, 0.8
    assert rule(1.0, 0.8, 0.7).sets(table, None).tolist() == [[True, True, False]]  # each against its own limit
    assert rule(0.9, 0.9, 0.9).sets(table, [0.5]).tolist() == [[True, True, True]]  # 0.9, 0.25, 0.65
    assert rule(0.2, 0.2, 0.2).sets(table, [0.0]).tolist() == [[False, True, False]]  # the likeliest class is kept
    assert rule(0.2, 0.2, 0.2, keeps_first=False).sets(table, [0.0]).tolist() == [[False, False, False]]
    assert rule(0.2, 0.2, 0.2, keeps_first=False).sets(table, [0.7]).tolist() == [[False, True, False]]


def test_ranks_beyond_the_free_ones_cost() -> None:
    assert rank_penalty(np.arange(5), 0.1, 2) == pytest.approx([0, 0, 0.1, 0.2, 0.3])
    table = [[0.4, 0.3, 0.2, 0.1]]
    assert rule(*[0.95] * 4, penalty=0.1, free=2).sets(table, None).tolist() == [[True, True, False, False]]  # 0.4, 0.7, 1.0, 1.2
    assert rule(*[0.95] * 4, penalty=0.0).sets(table, None).tolist() == [[True, True, True, False]]


def test_equal_probabilities_stand_in_the_order_of_the_classes() -> None:
    assert rule(0.5, 0.5).sets([[0.5, 0.5]], None).tolist() == [[True, False]]


def test_the_manifest_gives_the_rule_back() -> None:
    classes = ("a", "b", "c")
    made = SetRule(0.9, np.array([0.7, 0.123456789012345, 0.7]), np.array([False, True, False]))
    said = json.loads(json.dumps(made.to_json(classes)))
    assert said["method"] == "raps"
    assert said["class_limits"] == {"b": 0.123456789012345}
    back = SetRule.from_json(said, classes)
    assert back.limits.tolist() == made.limits.tolist()
    assert back.own.tolist() == made.own.tolist()
    assert (back.coverage, back.penalty, back.free, back.keeps_first) == (made.coverage, made.penalty, made.free, True)
    whole = SetRule(0.9, np.array([0.7, 0.8]), np.array([True, True]), penalty=0.0)
    assert whole.to_json(("a", "b")) | {"class_limits": {}} == {
        "coverage": 0.9,
        "method": "aps",
        "penalty": 0.0,
        "free_ranks": 5,
        "keeps_first": True,
        "limit": None,
        "class_limits": {},
    }
    assert SetRule.from_json(whole.to_json(("a", "b")), ("a", "b")).limits.tolist() == [0.7, 0.8]


def test_draws_come_from_the_content_and_are_even() -> None:
    digests = [f"{i:064x}" for i in range(4000)]
    draws = content_draws(digests)
    assert draws[7] == content_draws(digests[7:8])[0]
    assert (draws.min() >= 0) & (draws.max() < 1)
    assert np.histogram(draws, 10, (0, 1))[0] == pytest.approx(400, abs=80)
