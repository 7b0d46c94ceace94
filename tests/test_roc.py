"""AUC with resampling counts equals scikit-learn's with the images really repeated."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation.roc import class_aucs, column_sums, divide, ranked_classes, row_sums


def test_resampled_areas_are_those_of_repeated_images_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=60)
    table = np.round(rng.random((60, 3)) + 0.3 * np.eye(3)[labels], 1)
    counts = rng.multinomial(60, np.full(60, 1 / 60), size=8).T.astype(np.float32)
    areas = class_aucs(ranked_classes(table, labels), 3, counts)
    for column in range(8):
        drawn = np.repeat(np.arange(60), counts[:, column].astype(int))
        for number in range(3):
            expected = roc_auc_score(labels[drawn] == number, table[drawn, number])
            assert areas[number, column] == pytest.approx(expected, abs=1e-12)


def test_an_empty_side_has_no_area() -> None:
    labels = np.array([0, 0, 1])
    table = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0]])
    counts = np.array([[1, 2], [1, 1], [1, 0]], dtype=np.float32)
    areas = class_aucs(ranked_classes(table, labels), 3, counts)
    assert areas[0, 0] == areas[1, 0] == 1
    assert np.isnan(areas[:, 1]).all()
    assert np.isnan(areas[2]).all()


def test_sums_and_divide() -> None:
    counts = np.array([[1, 0], [2, 1], [0, 3]], dtype=np.float32)
    assert row_sums(np.array([1, 0, 1]), 3, counts).tolist() == [[2, 1], [1, 3], [0, 0]]
    assert row_sums(np.array([1, 0, 1]), 2, counts, np.array([0.5, 1, 2])).tolist() == [[2, 1], [0.5, 6]]
    assert column_sums([np.array([True, False, True]), np.array([0.5, 1, 2])], counts).tolist() == [[1, 3], [2.5, 7]]
    assert divide(np.array([1], dtype=np.float32), np.array([3], dtype=np.float32)) == pytest.approx(1 / 3, abs=1e-15)
    assert divide(np.array([1.0, 2.0]), np.array([2.0, 0.0])).tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
