"""Whether the run learnt too little or too much: a diagnosis of each network, or of the probe, with the numbers it rests on."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.data.tables import read_table
from seefit.evaluation.diagnosis import Curves, best_epoch, diagnose, diagnose_probe
from seefit.evaluation.intervals import Estimate, Floats, estimate, wilson
from seefit.insights.material import Material

MOST_IMAGES = 5_000  # of the training part that a probe is asked about


def find_diagnosis(material: Material) -> dict[str, Any] | None:
    """Diagnose the run.

    Returns:
        ``networks``: of a trained network its diagnosis, its best epoch and the epoch that was kept, per network; None for a probe.
        ``probe``: of a probe its diagnosis and its accuracy on each fold; else None.
    """
    if material.settings.way == "probe":
        return {"networks": None, "probe": _probe(material)}
    rows = [{name: float(cell or "nan") for name, cell in row.items()} for row in read_table(material.run / "history.csv")]
    members = sorted({int(row.get("member", 0)) for row in rows})
    return {"networks": [_network(material, [row for row in rows if row.get("member", 0) == member]) for member in members], "probe": None}


def _network(material: Material, rows: list[dict[str, float]]) -> dict[str, Any]:
    settings = material.settings
    best = best_epoch(rows, settings.monitor)
    stopped = settings.patience is not None and best is not None and len(rows) - best >= settings.patience
    curves = Curves(*(_column(rows, name) for name in ("loss", "accuracy", "val_loss", "val_accuracy", "rate")))
    images, batch = len(material.train.samples), settings.batch * settings.accumulate
    found = diagnose(curves, _margin(material), images=images, batch=batch, stopped=stopped)
    kept = best if settings.keep == "best" and best is not None else len(rows)
    return {"diagnosis": found.to_json(), "best": best, "kept": kept}


def _column(rows: list[dict[str, float]], name: str) -> Floats:
    return np.array([row[name] for row in rows])


def _margin(material: Material) -> float:
    """Return how far chance may move the validation accuracy: half its interval, as independent images have it where nothing is known."""
    figure = (material.fitted.val or {}).get("accuracy")
    if figure is None:
        return 0.0
    if figure["low"] is None:
        low, high = wilson(figure["value"], len(material.val.samples))
        return float(high - low) / 2
    return float(figure["high"] - figure["low"]) / 2


def _probe(material: Material) -> dict[str, Any]:
    part, head = material.train, material.fitted.head
    index = np.linspace(0, len(part.samples) - 1, min(MOST_IMAGES, len(part.samples))).astype(int)
    features = material.probe.extractor.extract([part.samples[i] for i in index], [part.sha256[i] for i in index])
    train = float((head.logits(features).argmax(axis=1) == part.labels(material.classes)[index]).mean())
    figure = (material.fitted.folds or material.fitted.val or {}).get("accuracy")
    held_out = Estimate(None) if figure is None else Estimate(figure["value"], figure["low"], figure["high"])
    source = "folds" if material.fitted.folds else "val" if material.fitted.val else None
    return {"diagnosis": diagnose_probe(train, held_out).to_json(), "source": source, "folds": _folds(material)}


def _folds(material: Material) -> list[dict[str, Any]]:
    """Return images and accuracy of each fold: how much depends on which images are held out."""
    scores, numbers = material.folds, material.probe.head.fold_numbers
    if scores is None:
        return []
    right = scores.probabilities.argmax(axis=1) == scores.labels
    folds = []
    for number in np.unique(numbers).tolist():
        own = numbers == number
        share = float(right[own].mean())
        folds.append({"images": int(own.sum()), "accuracy": estimate(share, *map(float, wilson(share, own.sum()))).to_json()})
    return folds
