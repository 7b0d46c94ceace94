from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from seefit.bundle.sets import SetRule
from seefit.bundle.trusted import Trust, is_usable, read_sets, refuses

CLASSES = ["a", "b", "c"]
RULE = SetRule(0.9, np.array([0.7, 0.8, 0.7]), np.array([False, True, False]))


def said(**changes: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = {"classes": CLASSES, "trust": Trust("val", 60, RULE).to_json(CLASSES)}
    manifest["trust"] |= changes
    found: dict[str, Any] = json.loads(json.dumps(manifest))
    return found


def test_a_rule_comes_back_from_the_manifest() -> None:
    rule = read_sets(said())
    assert rule is not None
    assert (rule.coverage, rule.limits.tolist(), rule.own.tolist()) == (0.9, [0.7, 0.8, 0.7], [False, True, False])
    assert not refuses(said())


def test_a_bundle_that_says_nothing_of_trust_has_neither() -> None:
    assert read_sets({"classes": CLASSES}) is None
    assert not refuses({"classes": CLASSES})
    assert is_usable({"classes": CLASSES})
    nothing = Trust().to_json(CLASSES)
    assert nothing == {"fitted_on": None, "images": 0, "sets": None, "unknown": None}


@pytest.mark.parametrize(
    ("place", "value"),
    [("coverage", 1.5), ("coverage", None), ("penalty", -1), ("limit", "much"), ("class_limits", []), ("free_ranks", "few")],
)
def test_a_rule_that_cannot_be_is_found_out(place: str, value: Any) -> None:
    manifest = said()
    assert is_usable(manifest)
    broken = copy.deepcopy(manifest)
    broken["trust"]["sets"][place] = value
    assert not is_usable(broken)


@pytest.mark.parametrize("unknown", [{"threshold": 2.0, "rate": 0.05}, {"threshold": 1.0, "rate": 0}, {"threshold": 1.0}, "yes"])
def test_a_limit_that_the_graph_does_not_have_is_found_out(unknown: Any) -> None:
    assert refuses(said(unknown=unknown))
    assert not is_usable(said(unknown=unknown))
    assert is_usable(said(unknown={"threshold": 1.0, "rate": 0.05, "method": "any"}))
