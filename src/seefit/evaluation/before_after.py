"""An extended run against the run it came from, on the images that both judged: what the older classes gained or lost.

Both sides are stored predictions, so nothing is predicted again. An older image that the new model gives to a new class is a
mistake like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.data.dataset import natural_order
from seefit.data.tables import read_table
from seefit.evaluation.metrics import judge
from seefit.evaluation.paired import paired_interval

ELSEWHERE = ""  # stands for every class that the judged images do not have
SHOWN = ("accuracy", "balanced_accuracy")


def compare_predictions(
    before: Path, after: Path, names: Mapping[str, str], groups: Mapping[str, int] | None, *, seed: int = 0
) -> dict[str, Any] | None:
    """Compare two runs on the images that both judged.

    Args:
        before: ``predictions.csv`` of the earlier run.
        after: ``predictions.csv`` of the run that extends it.
        names: For each older image, its name in the later run and that in the earlier one.
        groups: The number of each image's group, by its name in the later run; None without groups.
        seed: Of the bootstrap.

    Returns:
        ``{"n", "before", "after", "difference", "per_class"}``: accuracy and balanced accuracy before and after, the difference of
        the accuracies (after minus before) image by image, and the recall of each class, all with 95 % intervals. None when
        no image was judged by both.

    Raises:
        DataError: A file cannot be read.
    """
    earlier = {row["path"]: row for row in read_table(before)}
    rows = [(earlier[names[row["path"]]], row) for row in read_table(after) if names.get(row["path"]) in earlier]
    if not rows:
        return None
    classes = natural_order({was["label"] for was, _ in rows})
    labels = _numbers([was["label"] for was, _ in rows], classes)
    said = [_numbers([row["predicted"] for row in side], classes) for side in zip(*rows, strict=True)]
    units = None if groups is None else np.array([groups[row["path"]] for _, row in rows])
    figures = [judge(_certain(answers, len(classes)), labels, [*classes, ELSEWHERE], groups=units, seed=seed).to_json() for answers in said]
    right = [answers == labels for answers in said]
    difference = paired_interval(right[0], right[1], units, seed=seed)
    sides = dict(zip(("before", "after"), figures, strict=True))
    return {
        "n": len(rows),
        **{side: {name: found[name] for name in SHOWN} for side, found in sides.items()},
        "difference": {"accuracy": difference.to_json()},
        "per_class": {
            name: {"n": figures[0]["per_class"][name]["n"], **{side: found["per_class"][name]["recall"] for side, found in sides.items()}}
            for name in classes
        },
    }


def _numbers(names: list[str], classes: list[str]) -> NDArray[np.intp]:
    """Return the number of each class, and one more for any other."""
    position = {name: i for i, name in enumerate(classes)}
    return np.array([position.get(name, len(classes)) for name in names], np.intp)


def _certain(answers: NDArray[np.intp], others: int) -> NDArray[np.float32]:
    """Return (N, C + 1) probabilities that are all on the answer."""
    table = np.zeros((len(answers), others + 1), np.float32)
    table[np.arange(len(answers)), answers] = 1
    return table
