"""Pictures that are least like their class."""

from __future__ import annotations

import numpy as np
import pytest

from seefit.evaluation import outliers
from seefit.evaluation.outliers import find_outliers


def made(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(200, 16)).astype(np.float32)
    points[100:] += 6
    return points, np.repeat([0, 1], 100)


def test_a_handful_of_strangers_is_found_though_they_are_like_each_other() -> None:
    points, labels = made()
    points[:8] = np.random.default_rng(1).normal(size=(8, 16)) - 6
    found, z = find_outliers(points, labels)
    assert sorted(found.tolist()) == list(range(8))
    assert (np.diff(z) <= 0).all()
    assert (z >= 4).all()


def test_distance_is_to_the_own_class() -> None:
    points, labels = made()
    labels[0] = 1
    assert find_outliers(points, labels)[0].tolist() == [0]


def test_ordinary_images_and_small_classes_have_none() -> None:
    points, labels = made()
    assert len(find_outliers(points, labels)[0]) == 0
    points[0] = 100
    assert len(find_outliers(points[:39], labels[:39])[0]) == 0
    assert len(find_outliers(np.zeros((50, 4), np.float32), np.zeros(50, int))[0]) == 0


def test_a_large_class_is_compared_with_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    points, labels = made()
    points[3] = 30
    monkeypatch.setattr(outliers, "_MOST_OTHERS", 50)
    monkeypatch.setattr(outliers, "_BLOCK", 7)
    assert find_outliers(points, labels)[0].tolist() == [3]
