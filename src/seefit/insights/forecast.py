"""How many more images: the learning curve of the head on frozen features, over training and validation part, and where it leads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.evaluate import group_numbers
from seefit.evaluation.forecast import Curve, Forecast, foresee, measure_curve
from seefit.insights.material import Material
from seefit.training.head import balanced_weights, class_shares

FEWEST_OF_CLASS = 50  # judged images, below which nothing is said of a class
MOST_CLASSES = 30  # that are told of; those with most mistakes first


def find_forecast(material: Material) -> dict[str, Any] | None:
    """Return the learning curve and what it says of more images; None without folds, or where the network knows the images already."""
    probe, train, val = material.probe, material.train, material.val
    if probe.head.method != "logistic" or probe.extractor.backbone.state is not None:
        return None
    # the validation part as its temperature was fitted: kept, so nothing is computed
    features = np.concatenate(
        [probe.extractor.extract(part.samples, part.sha256, exact=part is val) for part in (train, val) if part.samples]
    )
    labels = np.concatenate([part.labels(material.classes) for part in (train, val)])
    targets = np.eye(len(material.classes), dtype=np.float32)[labels]
    weights = np.concatenate([train.weights(), val.weights()])
    shift = np.log(np.maximum(class_shares(targets, weights), 1e-12)) if material.settings.class_weights == "prior" else None
    if material.settings.class_weights == "balanced":
        weights = balanced_weights(targets, labels, weights)
    curve = measure_curve(
        features,
        labels,
        classes=len(material.classes),
        strength=probe.head.strength * len(train.samples),
        units=np.concatenate([train.units, val.units]),
        weights=weights,
        shift=shift,
        seed=material.settings.seed,
    )
    if curve is None:
        return None
    groups = group_numbers([sample.group for part in (train, val) for sample in part.samples])
    return _told(material, curve, labels, None if groups is None else groups[curve.rows])


def _told(material: Material, curve: Curve, labels: NDArray[np.int64], groups: NDArray[np.int64] | None) -> dict[str, Any]:
    present, judged = len(material.train.samples), labels[curve.rows]
    overall = foresee(curve, present, groups=groups, seed=material.settings.seed)
    return {
        "told": _sentence(overall),
        "way": material.settings.way,
        "engine": material.probe.extractor.engine.name,
        "images": len(curve.rows),
        "sampled": curve.sampled,
        "all": len(material.train.samples) + len(material.val.samples),
        "repeats": len(curve.wrong),
        "groups": 0 if groups is None else int(groups.max()) + 1,
        **_drawn(curve, overall),
        "present": present,
        "now": overall.now.to_json(),
        "ahead": [
            {"images": outlook.images, "error": outlook.error.to_json(), "change": outlook.change.to_json(), "sure": outlook.sure}
            for outlook in overall.ahead
        ],
        "classes": _classes(material, curve, judged, groups),
    }


def _drawn(curve: Curve, found: Forecast) -> dict[str, Any]:
    """Return what was measured and where it leads: rows of training images, error, low and high end."""
    points, line = ((curve.sizes, found.points), (found.sizes, found.line))
    return {
        name: [[round(size), error.value, error.low, error.high] for size, error in zip(sizes.tolist(), errors, strict=True)]
        for name, (sizes, errors) in {"points": points, "line": line}.items()
    }


def _classes(material: Material, curve: Curve, judged: NDArray[np.int64], groups: NDArray[np.int64] | None) -> list[dict[str, Any]]:
    """Return the forecasts of classes with enough images, those with most mistakes first.

    A class's mistakes are shown to become fewer where the whole interval of the error that is forecast lies below the error now: the change
    itself rests on too little (`Outlook.change`).
    """
    present, seed = len(material.train.samples), material.settings.seed
    trained = np.bincount(material.train.labels(material.classes), minlength=len(material.classes)).tolist()
    found = []
    for label in np.flatnonzero(np.bincount(judged) >= FEWEST_OF_CLASS).tolist():
        one = foresee(curve, present, groups=groups, chosen=judged == label, seed=seed)
        ahead = [
            {"images": outlook.images, "error": outlook.error.to_json(), "sure": (outlook.error.high or 1.0) < (one.now.value or 0.0)}
            for outlook in one.ahead
        ]
        counts = {"class": label, "trained": trained[label], "judged": int((judged == label).sum())}
        found.append(counts | {"now": one.now.to_json(), "ahead": ahead, **_drawn(curve, one)})
    return sorted(found, key=lambda one: -one["now"]["value"])[:MOST_CLASSES]


def _sentence(found: Forecast) -> str:
    """Say in one line for the console what twice as many images would do."""
    twice = found.ahead[0]
    now, change = found.now.value or 0.0, twice.change
    if twice.sure and change.low is not None and change.high is not None:
        span = f"{now + change.low:.1%}–{now + change.high:.1%}"
        return f"More images: {twice.images:,} training images would lower mistakes from {now:.1%} to {span}"
    return f"More images: the learning curve does not tell whether {twice.images:,} training images would lower mistakes below {now:.1%}"
