"""A part of the data as training sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seefit.data.dataset import Sample
from seefit.parts import Part

CLASSES = ("a", "b")
SAMPLES = [Sample(Path(str(i)), str(i), "ab"[i % 2], weight=i, target=(0.25, 0.75) if i == 1 else None) for i in range(5)]
PART = Part(SAMPLES, [str(i) * 4 for i in range(5)], np.array([0, 0, 1, 2, 2]))


def test_labels_targets_and_weights() -> None:
    assert PART.labels(CLASSES).tolist() == [0, 1, 0, 1, 0]
    assert PART.targets(CLASSES)[:2].tolist() == [[1, 0], [0.25, 0.75]]
    assert PART.one_hot(CLASSES)[1].tolist() == [0, 1]
    assert PART.weights().tolist() == [0, 1, 2, 3, 4]
    assert PART.majority(CLASSES) == 0


def test_a_subset_and_an_even_spread() -> None:
    some = PART.subset(np.array([3, 1]))
    assert ([sample.name for sample in some.samples], some.sha256, some.units.tolist()) == (["3", "1"], ["3333", "1111"], [2, 0])
    assert [sample.name for sample in PART.spread(3)[0]] == ["0", "2", "4"]
    assert len(PART.spread(9)[0]) == 5
