"""Where the model does badly: slices of the judged part by size, brightness, sharpness, shape, file format and group."""

from __future__ import annotations

from typing import Any

import numpy as np

from seefit.data.looks import measure_sharpness
from seefit.data.splitfile import read_split
from seefit.evaluation.paired import ALPHA
from seefit.evaluation.slices import Judged, cut_slices, judge_slices
from seefit.insights.material import Material

MOST = 60  # slices that the insight lists, the worst
MOST_MEASURED = 1_000  # images whose sharpness is measured, for which they are decoded again


def find_slices(material: Material) -> dict[str, Any] | None:
    """Return how each kind of judged pictures came out against the others, the worst first; None where nothing was judged or cut."""
    judged = material.judged
    if judged is None:
        return None
    size_of = dict(zip(material.scan.sha256, material.scan.sizes.tolist(), strict=True))
    sides = np.array([size_of[digest] for digest in judged.sha256], np.float64).reshape(-1, 2)
    sample_of = {sample.name: sample for sample in material.scan.samples}
    looks = [material.scan.looks[digest] for digest in judged.sha256]
    numbers = {
        "size": np.sqrt(sides.prod(1)),
        "aspect": sides[:, 0] / sides[:, 1],
        "brightness": np.array([look.brightness for look in looks]),
        "sharpness": measure_sharpness([sample_of[name] for name in judged.names], MOST_MEASURED, max_pixels=material.settings.max_pixels),
    }
    group_of = {row.path: row.group for row in read_split(material.run / "split.csv") if row.split == judged.source}
    kinds: dict[str, list[str | None]] = {"format": [look.format for look in looks], "group": [group_of[name] for name in judged.names]}
    found = judge_slices(cut_slices(numbers, kinds), judged.probabilities.argmax(1) == judged.labels, judged.groups)
    if not found:
        return None
    groups = 0 if judged.groups is None else int(judged.groups.max()) + 1
    rows = [_row(one) for one in found]
    return {"images": len(judged.names), "groups": groups, "compared": len(found), "alpha": ALPHA, "rows": rows[:MOST]}


def _row(one: Judged) -> dict[str, Any]:
    figures = {name: round(getattr(one, name), 4) for name in ("accuracy", "others", "difference", "low", "high")}
    range_ = None if one.slice.low is None or one.slice.high is None else [round(one.slice.low, 4), round(one.slice.high, 4)]
    return {"trait": one.slice.trait, "value": one.slice.value, "range": range_, "n": one.n, **figures, "p": one.p, "bad": one.bad}
