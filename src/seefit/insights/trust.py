"""Whether one prediction can be trusted: what sets, "none of these", and keeping silent where it is unsure give on the judged part."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.bundle.sets import content_draws
from seefit.bundle.unknown import LIMIT
from seefit.evaluation.calibrate import ece_floor, softmax
from seefit.evaluation.conformal import judge_sets
from seefit.evaluation.intervals import Estimate, Floats
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
    found = judge_sets(
        rule,
        judged.probabilities,
        judged.labels,
        content_draws(judged.sha256),
        groups=judged.groups,
        seed=material.settings.seed,
    )
    counts = np.bincount(judged.labels, minlength=len(material.classes))
    rows = [
        {"label": name, "images": int(counts[i]), "coverage": found.per_class[i].to_json(), "own_limit": bool(rule.own[i])}
        for i, name in enumerate(material.classes)
        if counts[i]
    ]
    sizes = np.flatnonzero(found.sizes)
    return {
        "stated": rule.coverage,
        "coverage": found.coverage.to_json(),
        "size": found.size.to_json(),
        "sizes": [[int(size), int(found.sizes[size])] for size in sizes[:MOST_CLASSES]],
        "own_limits": int(rule.own.sum()),
        "per_class": _worst(rows, "coverage", lowest=True),
    }


def _unknown(material: Material, judged: Scores) -> dict[str, Any] | None:
    familiar, head = material.trust.familiar, material.fitted.head
    if familiar is None:
        return None
    features = material.judged_features
    scores = familiar.scores(head.seen(features), head.logits(features))
    refused, right = scores > LIMIT, judged.probabilities.argmax(1) == judged.labels

    def share(rows: NDArray[np.bool_]) -> Estimate:
        return mean_estimate(refused[rows], None if judged.groups is None else judged.groups[rows], seed=material.settings.seed)

    everything = np.ones(len(refused), np.bool_)
    counts = np.bincount(judged.labels, minlength=len(material.classes))
    rows = [
        {"label": material.classes[i], "images": int(counts[i]), "refused": share(judged.labels == i).to_json()}
        for i in _first(np.bincount(judged.labels, refused, len(counts)) / np.maximum(counts, 1), counts)
    ]
    edges = np.clip(scores, BINS[0], BINS[-1])
    return {
        "stated": material.trust.rate,
        "refused": share(everything).to_json(),
        "right_of_refused": mean_estimate(right[refused], None if judged.groups is None else judged.groups[refused]).to_json(),
        "per_class": rows,
        "histogram": {"edges": BINS.round(6).tolist(), "images": np.histogram(edges, BINS)[0].tolist()},
    }


def _first(shares: Floats, counts: NDArray[np.int64]) -> list[int]:
    """Return the classes with the highest shares, those without an image left out."""
    order = np.argsort(-shares, kind="stable")
    return [int(i) for i in order if counts[i]][:MOST_CLASSES]


def _worst(rows: list[dict[str, Any]], name: str, *, lowest: bool) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row[name]["value"] if lowest else -row[name]["value"])[:MOST_CLASSES]


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
