"""Insights of runs that nobody trained: a stand-in for the material of a run, and the insights of a run folder made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from conftest import read_csv
from seefit.data.dataset import Sample
from seefit.evaluation.diagnosis import diagnose_probe
from seefit.evaluation.intervals import Estimate, Floats
from seefit.files import to_json, write_text
from seefit.fitting import Fitted
from seefit.insights.curves import find_curves
from seefit.insights.decide import find_decide
from seefit.insights.material import Material, Scores
from seefit.parts import Part
from seefit.settings import Settings

NOTHING = cast(Any, None)


def make_scores(probabilities: Floats, labels: Sequence[int], *, source: str = "test", groups: Sequence[int] | None = None) -> Scores:
    """Return scores of images without names."""
    n = len(labels)
    units = None if groups is None else np.array(groups)
    return Scores([str(i) for i in range(n)], [""] * n, np.array(labels), probabilities, np.ones(n), units, source)


def make_material(
    classes: Sequence[str],
    *,
    judged: Scores | None = None,
    held_out: Scores | None = None,
    run: Path | None = None,
    fitted: Fitted = NOTHING,
    train: Sequence[str] = (),
    **settings: Any,
) -> Material:
    """Return the material of a run of which only this is known.

    Args:
        classes: Their names.
        judged: Of the judged images.
        held_out: Of those that thresholds may be chosen on.
        run: Its folder.
        fitted: What was saved; it stands for the probe, too.
        train: Labels of the training images.
        **settings: Of the run.
    """
    part = Part([Sample(Path(), str(i), label) for i, label in enumerate(train)], [""] * len(train), np.arange(len(train)))
    empty = Part([], [], np.zeros(0, np.int64))
    known = Settings(data="x", **settings)
    material = Material(run or Path(), known, tuple(classes), part, empty, NOTHING, NOTHING, fitted, fitted, NOTHING, "test")
    vars(material).update(judged=judged, held_out=held_out)
    return material


def add_insights(run: Path, classes: Sequence[str]) -> Path:
    """Write the insights of a run that `made_run.make_run` made, thresholds chosen on scores that resemble those of its test part."""
    rows, rng = read_csv(run / "predictions.csv"), np.random.default_rng(0)
    place = {name: i for i, name in enumerate(classes)}
    labels = [place[row["label"]] for row in rows]
    table = np.full((len(rows), len(classes)), 1e-4)
    for i, row in enumerate(rows):
        if "top1" in row:
            for k in range(1, 6):
                table[i, place[row[f"top{k}"]]] = float(row[f"p{k}"])
        else:
            table[i] = [float(row[f"p:{name}"]) for name in classes]
    blurred = table * np.exp(0.3 * rng.normal(size=table.shape))
    held_out = make_scores(blurred / blurred.sum(axis=1, keepdims=True), labels, source="val")
    material = make_material(classes, judged=make_scores(table, labels), held_out=held_out, train=[row["label"] for row in rows])
    found = {"curves": find_curves(material), "decide": find_decide(material), "diagnosis": {"networks": None, "probe": _probe()}}
    (run / "insights").mkdir(exist_ok=True)
    for name, insight in found.items():
        if insight is not None:
            write_text(run / "insights" / f"{name}.json", to_json(insight))
    return run


def _probe() -> dict[str, Any]:
    folds = [{"images": 40, "accuracy": Estimate(value, value - 0.1, min(1.0, value + 0.1)).to_json()} for value in (0.8, 0.9, 0.85)]
    return {"diagnosis": diagnose_probe(0.97, Estimate(0.86, 0.83, 0.89)).to_json(), "source": "folds", "folds": folds}
