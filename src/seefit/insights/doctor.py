"""Is the data right? Label errors, copies, look-alikes and outliers among the images that training saw, and slices that the model does
badly on. What a person should decide goes to ``fixes.csv`` in the run folder.

No fix is proposed for an image that the model was judged on: that part is no witness any more once it was put right by what the
model thinks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seefit.data.fixes import NAME, Fix, write_fixes
from seefit.evaluation.calibrate import softmax
from seefit.evaluation.doctor import find_label_errors
from seefit.insights.likeness import Found, find_copies, find_strangers
from seefit.insights.material import Material, Scores
from seefit.insights.weakness import find_slices

MOST = 200  # rows that the insight lists; fixes.csv lists all


def find_doctor(material: Material) -> dict[str, Any] | None:
    """Return what may be wrong with the data, and write the proposals to ``fixes.csv``."""
    errors, wrong = _label_errors(material)
    copies, doubled = find_copies(material)
    strange, odd = find_strangers(material)
    fixes = [*wrong, *doubled, *odd]
    write_fixes(material.run / NAME, fixes)
    found = {"label_errors": errors, "copies": copies, **(strange or {}), "slices": find_slices(material)}
    return {**found, "fixes": len({fix.path for fix in fixes})}


def _label_errors(material: Material) -> Found:
    """Look through out-of-fold scores of the training part, and those that the saved model gives the validation part."""
    scored = [_folds(material), material.held_out if material.val.samples and material.part != "val" else None]
    parts = [scores for scores in scored if scores is not None]
    if not parts:
        return None, []
    rows = [row for scores in parts for row in _found_in(scores, material.classes)]
    rows.sort(key=lambda row: float(row["p_label"]))
    fixes = [Fix(row["path"], row["label"], "relabel", row["suggested"], _reason(row), 1 - row["p_label"], row["sha256"]) for row in rows]
    looked = sum(len(scores.names) for scores in parts)
    return {"looked": looked, "sources": [scores.source for scores in parts], "count": len(rows), "rows": rows[:MOST]}, fixes


def _folds(material: Material) -> Scores | None:
    """Return out-of-fold scores as the folds gave them: a temperature from a small validation part could make all of them unsure."""
    folds = material.folds
    return None if folds is None else replace(folds, probabilities=softmax(material.probe.head.fold_logits))


def _found_in(scores: Scores, classes: Sequence[str]) -> list[dict[str, Any]]:
    index, suggested = find_label_errors(scores.probabilities, scores.labels)
    return [_label_error(classes, scores, i, guess) for i, guess in zip(index.tolist(), suggested.tolist(), strict=True)]


def _reason(row: dict[str, Any]) -> str:
    return f"a model that had not seen it gives its label {row['p_label']:.0%} and {row['suggested']!r} {row['p_suggested']:.0%}"


def _label_error(classes: Sequence[str], scores: Scores, place: int, guess: int) -> dict[str, Any]:
    label, p = int(scores.labels[place]), scores.probabilities[place]
    return {
        "path": scores.names[place],
        "sha256": scores.sha256[place],
        "part": "val" if scores.source == "val" else "train",
        "label": classes[label],
        "suggested": classes[guess],
        "p_label": round(float(p[label]), 4),
        "p_suggested": round(float(p[guess]), 4),
        "weight": float(scores.weights[place]),
    }
