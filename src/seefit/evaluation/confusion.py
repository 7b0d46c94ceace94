"""Which classes are taken for which: pairs by number of mistakes, and an order that puts confused classes side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.intervals import Floats


def confused_pairs(labels: ArrayLike, predicted: ArrayLike, least: int = 1) -> list[tuple[int, int, int]]:
    """Return the pairs of classes that are mixed up, those with the most mistakes first.

    Args:
        labels: (N,) actual classes.
        predicted: (N,) classes named.
        least: Mistakes that a pair must have.

    Returns:
        ``(actual, predicted, mistakes)``; equals in the order of the classes.
    """
    pairs = np.stack([np.asarray(labels, np.intp), np.asarray(predicted, np.intp)])
    found, counts = np.unique(pairs[:, pairs[0] != pairs[1]], axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(found[0, i]), int(found[1, i]), int(counts[i])) for i in order if counts[i] >= least]


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Return (C, C) numbers of images; row: the actual class, column: the one named."""
    actual = np.asarray(labels, np.intp) * classes + np.asarray(predicted, np.intp)
    return np.bincount(actual, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def cluster_order(counts: NDArray[np.int64]) -> list[int]:
    """Return an order of the classes in which those that are mixed up stand together.

    Average linkage on how often two classes are taken for each other, as mean of both shares, the tree's branches turned so that
    neighbours are as close as they can be (Bar-Joseph et al. 2001).

    Args:
        counts: (K, K) numbers of images; row: the actual class.

    Returns:
        The K places; as they are where there are fewer than three classes or no mistakes.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mixed = shares + shares.T
    np.fill_diagonal(mixed, 0)
    if len(counts) < 3 or not mixed.any():
        return list(range(len(counts)))
    distance = 1 - mixed / mixed.max()
    np.fill_diagonal(distance, 0)
    order: list[int] = leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True)).tolist()
    return order


def most_mistaken(labels: ArrayLike, predicted: ArrayLike, classes: int, most: int) -> list[int]:
    """Return the classes that take part in the most mistakes, on either side, in their stored order; none without mistakes."""
    actual, said = np.asarray(labels, np.intp), np.asarray(predicted, np.intp)
    wrong = actual != said
    parts = np.bincount(actual[wrong], minlength=classes) + np.bincount(said[wrong], minlength=classes)
    order = np.argsort(-parts, kind="stable")[:most]
    return sorted(int(i) for i in order if parts[i])
