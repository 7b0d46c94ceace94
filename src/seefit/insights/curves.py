"""ROC and precision-recall curves of the judged images: of each class where they are few, else of the mean and the worst."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.evaluation.curves import Band, ClassCurves, class_curves
from seefit.evaluation.decide import positive_class
from seefit.insights.material import Material

MOST_CLASSES = 10  # drawn one by one
WORST_CLASSES = 5  # drawn beside the mean where there are more
FEWEST_IMAGES = 5  # of a class before its curve says anything


def find_curves(material: Material) -> dict[str, Any] | None:
    """Return the curves on a grid of 101 false-alarm rates or recalls; None where nothing was judged that holds two classes.

    Returns:
        ``source``: as in `seefit.insights.material.Scores`. ``why``: for two classes why the one drawn is looked for, else None.
        ``mean``: the mean over classes, None for two. ``classes``: those drawn, the worst first. ``left_out``: how many are not.
    """
    scores = material.judged or material.held_out
    if scores is None:
        return None
    found, mean = class_curves(scores.probabilities, scores.labels, groups=scores.groups, seed=material.settings.seed)
    if mean is None:
        return None
    why, chosen = None, sorted(found, key=lambda curves: curves.auc.value or 0.0)
    if len(material.classes) == 2:
        number, why = positive_class(material.classes, train_counts(material))
        chosen = [curves for curves in found if curves.number == number]
    elif len(chosen) > MOST_CLASSES:
        chosen = [curves for curves in chosen if curves.positives >= FEWEST_IMAGES][:WORST_CLASSES]
    return {
        "source": scores.source,
        "images": len(scores.labels),
        "why": why,
        "mean": None if why else _curves(mean),
        "classes": [{"class": material.classes[curves.number], **_curves(curves)} for curves in chosen],
        "left_out": len(found) - len(chosen),
    }


def train_counts(material: Material) -> list[int]:
    """Return the number of training images of each class."""
    counts: list[int] = np.bincount(material.train.labels(material.classes), minlength=len(material.classes)).tolist()
    return counts


def _curves(curves: ClassCurves) -> dict[str, Any]:
    return {
        "positives": curves.positives,
        "share": curves.share,
        "auc": curves.auc.to_json(),
        "average_precision": curves.average_precision.to_json(),
        "roc": _band(curves.roc),
        "precision": _band(curves.precision),
    }


def _band(band: Band) -> dict[str, list[float]]:
    return {name: np.round(getattr(band, name), 4).tolist() for name in ("value", "low", "high")}
