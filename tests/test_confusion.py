from __future__ import annotations

import numpy as np

from seefit.evaluation.confusion import cluster_order, confused_pairs, confusion_matrix, most_mistaken


def test_pairs_come_by_mistakes_and_only_those_with_enough() -> None:
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    predicted = [0, 1, 1, 0, 1, 1, 0, 0, 0]
    assert confused_pairs(labels, predicted) == [(2, 0, 3), (0, 1, 2), (1, 0, 1), (2, 1, 1)]
    assert confused_pairs(labels, predicted, 2) == [(2, 0, 3), (0, 1, 2)]
    assert confused_pairs([0, 1], [0, 1]) == []


def test_the_matrix_is_scikit_learns() -> None:
    from sklearn.metrics import confusion_matrix as theirs

    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(5, size=(2, 200))
    assert (confusion_matrix(labels, predicted, 5) == theirs(labels, predicted, labels=range(5))).all()


def test_classes_that_are_mixed_up_stand_together() -> None:
    """Three families of four, dealt out so that no two relatives are neighbours."""
    family = np.arange(12) % 3
    counts = np.where(family[:, None] == family, 4, 0) + 20 * np.eye(12, dtype=np.int64)
    counts[0, 1] += 1
    order = cluster_order(counts)
    assert sorted(order) == list(range(12))
    assert (np.diff(family[order]) != 0).sum() == 2


def test_without_mistakes_or_with_two_classes_the_order_stays() -> None:
    assert cluster_order(np.eye(5, dtype=np.int64)) == [0, 1, 2, 3, 4]
    assert cluster_order(np.array([[5, 2], [1, 7]])) == [0, 1]
    assert cluster_order(np.zeros((3, 3), np.int64)) == [0, 1, 2]


def test_classes_with_the_most_mistakes_on_either_side() -> None:
    labels, predicted = [0, 0, 1, 2, 3, 3], [0, 1, 1, 1, 3, 2]
    assert most_mistaken(labels, predicted, 6, 2) == [1, 2]
    assert most_mistaken(labels, predicted, 6, 9) == [0, 1, 2, 3]
    assert most_mistaken([0, 1], [0, 1], 2, 5) == []
