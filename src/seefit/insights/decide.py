"""What thresholds give, kept so that the report can weigh them with any costs; and decision curves."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.evaluation.benefit import MOST_CLASSES, THRESHOLDS, DecisionCurve, decision_curves
from seefit.evaluation.decide import choose_thresholds, count_at, make_blocks, positive_class
from seefit.evaluation.facts import number_units
from seefit.insights.curves import train_counts
from seefit.insights.material import Material, Scores


def find_decide(material: Material) -> dict[str, Any] | None:
    """Return the decision curve of the judged images, and for two classes the tables of thresholds.

    Returns:
        ``source``: what the curve was drawn from. ``curve``: of the class that is looked for, or the mean over classes; ``classes``: the
        gain of each where there are more than two. ``table``: for two classes what thresholds give, else None. None where nothing was
        judged that holds two classes, or the classes are too many.
    """
    scores, classes = material.judged or material.held_out, material.classes
    if scores is None or len(classes) > MOST_CLASSES:
        return None
    present = np.unique(scores.labels).tolist()
    if len(present) < 2:
        return None
    options: dict[str, Any] = {"groups": scores.groups, "seed": material.settings.seed}
    if len(classes) > 2:
        mean, each = decision_curves(scores.probabilities, scores.labels, present, **options)
        gains = [{"class": classes[number], "gain": curve.gain.to_json()} for number, curve in zip(present, each, strict=True)]
        return {"source": scores.source, "curve": _curve(mean), "classes": gains, "table": None}
    number, why = positive_class(classes, train_counts(material))
    _, (curve,) = decision_curves(scores.probabilities, scores.labels, [number], **options)
    return {"source": scores.source, "curve": _curve(curve), "classes": None, "table": _table(material, scores, number, why)}


def _table(material: Material, scores: Scores, number: int, why: str) -> dict[str, Any]:
    """Return thresholds, what they give on the images they may be chosen on, and the judged images in blocks."""
    chosen_on = material.held_out
    basis = chosen_on or scores
    thresholds = choose_thresholds(basis.probabilities[:, number], basis.labels == number)
    units = number_units(scores.groups, len(scores.labels))
    blocks = make_blocks(scores.probabilities[:, number], scores.labels == number, thresholds, units, seed=material.settings.seed)
    held_out = None
    if chosen_on is not None:
        counts = count_at(chosen_on.probabilities[:, number], chosen_on.labels == number, thresholds)
        held_out = {"tp": counts.tp.tolist(), "fp": counts.fp.tolist(), "positives": counts.positives, "negatives": counts.negatives}
    return {
        "class": material.classes[number],
        "other": material.classes[1 - number],
        "why": why,
        "chosen_on": None if chosen_on is None else chosen_on.source,
        "thresholds": thresholds.tolist(),
        "held_out": held_out,
        "blocks": {side: [" ".join(map(str, row)) for row in getattr(blocks, side).tolist()] for side in ("positives", "negatives")},
    }


def _curve(curve: DecisionCurve) -> dict[str, Any]:
    lines = {name: np.round(getattr(curve, name), 5).tolist() for name in ("model", "low", "high", "everything")}
    return {"thresholds": THRESHOLDS.tolist(), **lines, "area": curve.area, "gain": curve.gain.to_json()}
