"""How good are these features? Heads on folds, fast, and in two steps, so that what is hopeless need not be judged to the end.

All folds share one rotation of the features, which knows no labels. The first two folds walk the path of strengths; the others are fitted
at the strength which those two chose. So a whole judgement takes as long as one path over two folds and one fit of the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from seefit.training.head import (
    Balance,
    Fold,
    balanced_accuracy,
    balanced_weights,
    class_shares,
    path_strengths,
    score_folds,
    walk_path,
    workers,
)
from seefit.training.solver import Double, Float, Rows

FIRST_FOLDS = 2  # that choose the strength


def held_out_logits(
    rows: Float, columns: int, targets: Float, folds: list[Fold], *, weights: Double, balance: Balance = "none"
) -> Iterator[list[Float]]:
    """Fit heads on folds and return what they say of the images that each holds out.

    Args:
        rows: (N, k) float32, from `seefit.evaluation.forecast.turned`.
        columns: D, how many features there were before.
        targets: (N, C) float32, one-hot or soft.
        folds: Positions to fit on and positions to hold out, two folds at least.
        weights: (N,) at least 0.
        balance: As in `fit_head`.

    Yields:
        Of the first two folds, then of all: for each its (H, C) logits.
    """
    shift = np.log(np.maximum(class_shares(targets, weights), 1e-12)) if balance == "prior" else np.zeros(targets.shape[1])
    if balance == "balanced":
        weights = balanced_weights(targets, targets.argmax(1), weights)
    first, rest = folds[:FIRST_FOLDS], folds[FIRST_FOLDS:]
    with workers() as pool:
        path, logits, _ = walk_path(rows, targets, weights, path_strengths(len(rows), columns), first, pool)
    best = int(np.argmin([point.nll for point in path]))
    found = _by_fold(logits[best] - shift, first)
    yield found
    if rest:
        with workers() as pool:
            others, _ = score_folds(Rows(rows, None, pool), targets, weights, path[best].strength, rest)
        yield [*found, *_by_fold(others - shift, rest)]


def fold_scores(logits: list[Float], folds: list[Fold], labels: NDArray[np.int64]) -> list[float]:
    """Return the balanced accuracy on each fold's held-out images, of those folds that were judged.

    Args:
        logits: From `held_out_logits`.
        folds: As there.
        labels: (N,) class numbers.
    """
    return [balanced_accuracy(found.argmax(1), labels[held_out]) for found, (_, held_out) in zip(logits, folds, strict=False)]


def _by_fold(logits: Float | Double, folds: list[Fold]) -> list[Float]:
    ends = np.cumsum([len(held_out) for _, held_out in folds])[:-1]
    return [np.asarray(part, np.float32) for part in np.split(logits, ends)]


