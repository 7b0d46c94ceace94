"""What the figures need to know of each image, gathered once and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.intervals import Floats, Ints

_BLOCK = 4_000_000  # probabilities looked at together


@dataclass(frozen=True)
class Facts:
    """What the figures need to know of each image; all arrays (N,), but the probabilities (N, C)."""

    probabilities: NDArray[np.floating[Any]]
    labels: Ints
    predicted: Ints
    confidence: Floats
    right: NDArray[np.bool_]
    nll: Floats
    brier: Floats
    weights: Floats | None
    majority: int

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.probabilities.shape[1])

    @property
    def common(self) -> NDArray[np.bool_]:
        """(N,) where always answering the commonest class of the training part is right."""
        same: NDArray[np.bool_] = self.labels == self.majority
        return same


def gather_facts(probabilities: ArrayLike, labels: ArrayLike, n_classes: int, weights: ArrayLike | None, majority: int | None) -> Facts:
    """Check the arrays of `seefit.evaluation.metrics.judge` and return what they say of each image.

    Args:
        probabilities: (N, C) float.
        labels: (N,) int in 0 to C - 1.
        n_classes: C.
        weights: (N,) float, at least 0; kept only where they differ.
        majority: The commonest class of the training part; None takes that of ``labels``.

    Raises:
        ValueError: Shapes that do not fit, labels out of range, or numbers that are not finite.
    """
    table = np.asarray(probabilities)
    table = table if table.dtype in (np.float32, np.float64) else table.astype(np.float64)
    truth = np.asarray(labels, dtype=np.intp)
    if table.ndim != 2 or not len(table) or table.shape != (len(truth), n_classes) or truth.ndim != 1:
        raise ValueError(f"expected probabilities ({len(truth)}, {n_classes}) with at least one row, got {table.shape}")
    if truth.min() < 0 or truth.max() >= n_classes:
        raise ValueError(f"expected labels in 0 to {n_classes - 1}, got {truth.min()} to {truth.max()}")
    predicted, confidence, nll, brier = _per_image(table, truth)
    common = int(np.bincount(truth).argmax()) if majority is None else majority
    return Facts(table, truth, predicted, confidence, predicted == truth, nll, brier, _uneven(weights, len(truth)), common)


def _per_image(table: NDArray[np.floating[Any]], truth: Ints) -> tuple[Ints, Floats, Floats, Floats]:
    """Return prediction, confidence, -log probability and squared distance, in blocks that bound the memory."""
    n = len(table)
    predicted = np.empty(n, dtype=np.intp)
    confidence, nll, brier = np.empty((3, n))
    step = max(1, _BLOCK // table.shape[1])
    for start in range(0, n, step):
        part = slice(start, start + step)
        block = table[part].astype(np.float64)
        own = np.take_along_axis(block, truth[part, None], axis=1)[:, 0]
        predicted[part] = block.argmax(axis=1)
        confidence[part] = block.max(axis=1)
        nll[part] = -np.log(np.clip(own, np.finfo(np.float64).eps, None))
        brier[part] = np.einsum("ij,ij->i", block, block) - 2 * own + 1
    if not np.isfinite(brier).all():
        raise ValueError("expected finite probabilities, got NaN or infinity")
    return predicted, confidence, nll, brier


def _uneven(weights: ArrayLike | None, n: int) -> Floats | None:
    """Return the weights, or None when there are none or all are equal."""
    if weights is None:
        return None
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (n,) or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"expected {n} finite weights of at least 0")
    return values if np.ptp(values) > 0 else None


def number_units(groups: ArrayLike | None, n: int) -> Ints | None:
    """Return the groups of (n,) images as 0 to G - 1, or None when every image stands alone."""
    if groups is None:
        return None
    values = np.asarray(groups)
    if values.shape != (n,):
        raise ValueError(f"expected {n} groups, got {values.shape}")
    names, numbers = np.unique(values, return_inverse=True)
    return None if len(names) == n else numbers.astype(np.intp)
