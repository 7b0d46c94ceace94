"""The area under the ROC curve of many classes, for many resamples at once, exact with ties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seefit.evaluation.intervals import Floats, Ints

_BLOCK = 4_000_000  # scores copied together


def row_sums(rows: NDArray[np.integer[Any]], n_rows: int, counts: NDArray[Any], values: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return, per row, the drawn counts (times values) of the images that belong to it: (N,) rows, (N, r) counts -> (n_rows, r)."""
    from scipy.sparse import csc_array

    data = np.ones(len(rows), dtype=np.float32) if values is None else values
    sums: NDArray[Any] = csc_array((data, rows, np.arange(len(rows) + 1)), shape=(n_rows, len(rows))) @ counts
    return sums


def column_sums(values: Sequence[NDArray[Any]], counts: NDArray[np.float32]) -> Floats:
    """Return the sum of each kind of value over the images as often as they are drawn: K times (N,), (N, r) counts -> (K, r)."""
    from scipy.sparse import csr_array

    # A sparse product is one pass in one thread, so it is the same on every machine; a dense one waits for all cores.
    sums: Floats = csr_array(np.stack(values).astype(np.float64)) @ counts
    return sums


def divide(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Return above / below, NaN where below is 0."""
    quotient: Floats = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=quotient, where=below > 0, dtype=np.float64)
    return quotient


@dataclass(frozen=True)
class RankedClass:
    """How one class ranks the images.

    Its images take ``levels`` different scores. Row 2j holds the other images between level j - 1 and level j, row 2j + 1
    those that tie with level j, the row 2 levels those above all; then one row per level for its own images.
    """

    number: int
    levels: int
    rows: NDArray[np.int32]


def ranked_classes(probabilities: NDArray[np.floating[Any]], labels: Ints) -> Iterator[RankedClass]:
    """Rank the images by each class that has some; columns are copied in blocks, since they lie far apart in memory."""
    step = max(1, _BLOCK // len(labels))
    present = np.bincount(labels, minlength=probabilities.shape[1]) > 0
    for start in range(0, probabilities.shape[1], step):
        block = np.ascontiguousarray(probabilities[:, start : start + step].T)
        for number, scores in enumerate(block, start):
            if present[number]:
                yield _rank(number, scores, labels == number)


def _rank(number: int, scores: NDArray[np.floating[Any]], own: NDArray[np.bool_]) -> RankedClass:
    levels = np.unique(scores[own])
    place = np.searchsorted(levels, scores)
    ties = levels[np.minimum(place, len(levels) - 1)] == scores
    rows = np.where(own, 2 * len(levels) + 1 + place, 2 * place + ties)
    return RankedClass(number, len(levels), rows.astype(np.int32))


def class_aucs(classes: Iterable[RankedClass], n_classes: int, counts: NDArray[np.float32]) -> Floats:
    """Return the AUC of each class against the rest (C, r), exact with ties; NaN where one side is empty."""
    aucs = np.full((n_classes, counts.shape[1]), np.nan)
    for ranks in classes:
        split = 2 * ranks.levels + 1
        sums = row_sums(ranks.rows, split + ranks.levels, counts)
        others, own = np.cumsum(sums[:split], axis=0, dtype=np.float64), sums[split:].astype(np.float64)
        beaten = others[: split - 1 : 2] + sums[1:split:2] / 2
        aucs[ranks.number] = divide((own * beaten).sum(axis=0), own.sum(axis=0) * others[-1])
    return aucs
