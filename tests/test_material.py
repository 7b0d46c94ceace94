from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import read_csv
from seefit.evaluation.evaluate import read_probabilities


def test_judged_images_are_those_of_the_table_with_the_labels_of_the_split(seen: Any) -> None:
    material = seen()
    rows, judged = read_csv(material.run / "predictions.csv"), material.judged
    assert judged is not None
    assert judged.source == "test"
    assert judged.names == [row["path"] for row in rows]
    assert [material.classes[i] for i in judged.labels] == [row["label"] for row in rows]
    assert [material.classes[i] for i in judged.probabilities.argmax(1)] == [row["predicted"] for row in rows]
    logits = material.fitted.head.logits(material.judged_features) / material.fitted.temperature
    powers = np.exp(logits)
    assert np.allclose(powers / powers.sum(1, keepdims=True), judged.probabilities, atol=1e-4)


def test_thresholds_may_be_chosen_on_the_validation_part_or_without_one_on_folds(seen: Any) -> None:
    material = seen()
    assert material.held_out is not None
    assert material.held_out.source == "val"
    assert material.held_out.names == [sample.name for sample in material.val.samples]
    assert material.folds is not None
    assert set(material.folds.names) <= {sample.name for sample in material.train.samples}
    without = seen(val=0, out="without")
    assert without.held_out is without.folds


def test_nothing_judged_gives_nothing(seen: Any) -> None:
    material = seen(val=0, test=0)
    assert material.judged is None
    with pytest.raises(ValueError, match="nothing was judged"):
        _ = material.judged_features


def test_many_classes_are_read_from_the_full_table(tmp_path: Path) -> None:
    expected = np.full((2, 101), 1 / 101, np.float32)
    np.savez_compressed(tmp_path / "predictions.npz", probabilities=expected, classes=np.array([str(i) for i in range(101)]))
    assert np.allclose(read_probabilities(tmp_path, [], ()), expected)
