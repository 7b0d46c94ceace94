"""What a bundle carries for the question whether one prediction can be trusted: sets of classes, "none of these", and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seefit.bundle.confidence import Confidence
from seefit.bundle.sets import SetRule
from seefit.bundle.unknown import LIMIT, Familiar

HELD_OUT = {"val": "validation images", "folds": "training images, each scored without it"}  # what `Trust.source` stands for
METHOD = "energy + relative Mahalanobis + nearest training image"


@dataclass(frozen=True)
class Trust:
    """What was fitted on images that the model knows but did not learn from.

    Attributes:
        source: Where they are from: ``val``, or ``folds`` for out-of-fold scores of the training part; empty where there are none.
        images: How many there are.
        sets: Gives sets of classes; None where there are too few images.
        familiar: Tells what the model does not know; None likewise.
        rate: Share of known images that are refused.
        confidence: Tells what a score is worth; None likewise.
    """

    source: str = ""
    images: int = 0
    sets: SetRule | None = None
    familiar: Familiar | None = None
    rate: float = 0.05
    confidence: Confidence | None = None

    def to_json(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return what the manifest says; the numbers behind "none of these" are in the graph."""
        unknown = {"threshold": LIMIT, "rate": self.rate, "method": METHOD}
        return {
            "fitted_on": self.source or None,
            "images": self.images,
            "sets": None if self.sets is None else self.sets.to_json(classes),
            "unknown": None if self.familiar is None else unknown,
            "confidence": None if self.confidence is None else self.confidence.to_json(),
        }


def read_sets(manifest: dict[str, Any]) -> SetRule | None:
    """Return the rule for sets that a manifest holds; None for a bundle without one, such as those of older versions."""
    said = (manifest.get("trust") or {}).get("sets")
    return None if said is None else SetRule.from_json(said, manifest["classes"])


def read_confidence(manifest: dict[str, Any]) -> Confidence | None:
    """Return what held-out images told of scores; None for a bundle that says nothing of them, such as those of older versions."""
    said = (manifest.get("trust") or {}).get("confidence")
    return None if said is None else Confidence.from_json(said)


def refuses(manifest: dict[str, Any]) -> bool:
    """Return whether the graph tells what the model does not know."""
    return (manifest.get("trust") or {}).get("unknown") is not None


def is_usable(manifest: dict[str, Any]) -> bool:
    """Return whether what a manifest says of trust can be used; its classes were checked before."""
    try:
        rule, unknown = read_sets(manifest), (manifest.get("trust") or {}).get("unknown")
        confidence, told = read_confidence(manifest), manifest.get("trust") or {}
        known = told.get("fitted_on") in HELD_OUT and type(told.get("images")) is int
        sets = rule is None or (0 < rule.coverage < 1 and 0 <= rule.penalty < 1e9 and rule.free >= 0 and not np.isnan(rule.limits).any())
        refusal = unknown is None or (unknown["threshold"] == LIMIT and 0 < unknown["rate"] < 1)
        return sets and refusal and (confidence is None or (known and confidence.is_sound()))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return False
