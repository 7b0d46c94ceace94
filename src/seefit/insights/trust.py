"""Whether one prediction can be trusted: what sets, "none of these", and keeping silent where it is unsure give on the judged part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.sets import content_draws
from seefit.bundle.unknown import LIMIT
from seefit.evaluation.calibrate import ece_floor, softmax
from seefit.evaluation.conformal import judge_sets
from seefit.evaluation.intervals import Floats
from seefit.evaluation.means import mean_estimate
from seefit.evaluation.metrics import score
from seefit.evaluation.selective import confidence_for, selective_curve, share_at
from seefit.insights.material import Material, Scores

ANSWERED = 0.8  # the share that the sentence about silence speaks of
MOST_CLASSES = 100  # listed one by one, the worst first
BINS = np.linspace(-2, 4, 31)  # of the histogram; what lies outside goes into the first and the last


def find_trust(material: Material) -> dict[str, Any] | None:
    """Return what sets, refusals and silence give on the judged part, and how much of its calibration error is chance."""
    judged = material.judged
    if judged is None:
        return None
    mean, seldom = ece_floor(judged.probabilities, seed=material.settings.seed)
    return {
        "fitted_on": material.trust.source or None,
        "images_fitted": material.trust.images,
        "part": judged.source,
        "images": len(judged.labels),
        "sets": _sets(material, judged),
        "unknown": _unknown(material, judged),
        "selective": _selective(material, judged),
        "ece_floor": {"mean": mean, "seldom": seldom},
        "nll": _nll(material),
    }


def _sets(material: Material, judged: Scores) -> dict[str, Any] | None:
    rule = material.trust.sets
    if rule is None:
        return None
    draws, seed = content_draws(judged.sha256), material.settings.seed
    found = judge_sets(rule, judged.probabilities, judged.labels, draws, groups=judged.groups, seed=seed)
    counts = np.bincount(judged.labels, minlength=len(material.classes))
    held = np.array([np.inf if share.value is None else share.value for share in found.per_class])
    return {
        "stated": rule.coverage,
        "coverage": found.coverage.to_json(),
        "size": found.size.to_json(),
        "sizes": [[int(size), int(found.sizes[size])] for size in np.flatnonzero(found.sizes)[:MOST_CLASSES]],
        "own_limits": int(rule.own.sum()),
        "per_class": [
            {"label": material.classes[i], "images": int(counts[i]), "coverage": found.per_class[i].to_json()} for i in _worst(held, counts)
        ],
    }


def _unknown(material: Material, judged: Scores) -> dict[str, Any] | None:
    familiar, head = material.trust.familiar, material.fitted.head
    if familiar is None:
        return None
    try:
        features = material.judged_features
    except ValueError:  # of so many images that the store could not keep them all
        return None
    scores = familiar.scores(features, features @ head.weight.T + head.bias)  # they come from behind a hidden layer, if there is one
    refused, counts = scores > LIMIT, np.bincount(judged.labels, minlength=len(material.classes))

    def share(rows: NDArray[np.bool_]) -> dict[str, float | None]:
        groups = None if judged.groups is None else judged.groups[rows]
        return mean_estimate(refused[rows], groups, seed=material.settings.seed).to_json()

    kept = 1 - np.bincount(judged.labels, refused, len(counts)) / np.maximum(counts, 1)
    return {
        "stated": material.trust.rate,
        "refused": share(np.ones(len(refused), np.bool_)),
        "per_class": [
            {"label": material.classes[i], "images": int(counts[i]), "refused": share(judged.labels == i)} for i in _worst(kept, counts)
        ],
        "histogram": {
            "edges": BINS.round(6).tolist(),
            "images": np.histogram(np.clip(scores, BINS[0], BINS[-1]), BINS)[0].tolist(),
        },
    }


def _worst(values: Floats, counts: NDArray[np.int64]) -> list[int]:
    """Return the classes with the lowest values, those without an image left out."""
    return [int(i) for i in np.argsort(values, kind="stable") if counts[i]][:MOST_CLASSES]


def _selective(material: Material, judged: Scores) -> dict[str, Any]:
    confidence, right = judged.probabilities.max(1), judged.probabilities.argmax(1) == judged.labels
    curve = selective_curve(confidence, right, groups=judged.groups, seed=material.settings.seed)
    accuracy, low, high = share_at(curve, ANSWERED)
    return {
        "shares": curve.shares.tolist(),
        "accuracy": curve.accuracy.tolist(),
        "low": curve.low.tolist(),
        "high": curve.high.tolist(),
        "area": curve.area.to_json(),
        "at": {"share": ANSWERED, "accuracy": {"value": accuracy, "low": low, "high": high}},
        "threshold": _threshold(material, confidence, right, judged),
    }


def _threshold(material: Material, confidence: Floats, right: NDArray[np.bool_], judged: Scores) -> dict[str, Any] | None:
    """Return the confidence that four of five held-out images reach, and what answering from there on gives on the judged ones."""
    held = material.held_out
    if held is None:
        return None
    least = confidence_for(held.probabilities.max(1), ANSWERED)
    answered = confidence >= least
    groups = None if judged.groups is None else judged.groups[answered]
    return {
        "confidence": least,
        "answered": mean_estimate(answered, judged.groups, seed=material.settings.seed).to_json(),
        "accuracy": mean_estimate(right[answered], groups, seed=material.settings.seed).to_json(),
    }


def _nll(material: Material) -> dict[str, Any] | None:
    """Return the log loss of held-out images with and without the temperature."""
    held = material.held_out
    if held is None:
        return None
    logits = np.log(np.maximum(held.probabilities, np.finfo(np.float64).tiny)) * material.fitted.temperature
    before, after = (score("nll", table, held.labels) for table in (softmax(logits), held.probabilities))
    return {"part": held.source, "before": before, "after": after}
