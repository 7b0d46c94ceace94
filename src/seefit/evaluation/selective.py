"""Selective prediction: how often the model is right when it answers only what it is surest of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seefit.evaluation.facts import number_units
from seefit.evaluation.intervals import Estimate, Floats, Ints, estimate, percentile_interval, resamples, wilson

POINTS = 100  # of the curve


@dataclass(frozen=True)
class SelectiveCurve:
    """Accuracy against the share of images that are answered, the surest first.

    Attributes:
        shares: (P,) rising, the last is 1.
        accuracy: (P,) of the images that are answered.
        low: (P,) lower ends of its 95 % interval.
        high: (P,) upper ends.
        area: The mean of the accuracy over all shares: 1 less what Geifman & El-Yaniv (2017) call the area under the risk-coverage curve.
    """

    shares: Floats
    accuracy: Floats
    low: Floats
    high: Floats
    area: Estimate


def selective_curve(
    confidence: ArrayLike, right: ArrayLike, *, groups: ArrayLike | None = None, replicates: int = 1000, seed: int = 0
) -> SelectiveCurve:
    """Return the curve of accuracy against the share answered (El-Yaniv & Wiener 2010, "On the foundations of noise-free selective
    classification", section 2).

    Args:
        confidence: (N,) how sure the model is; equals are answered in an order by chance.
        right: (N,) bool.
        groups: (N,) int: images of one group are not independent; None for independent images.
        replicates: How many resamples the bootstrap takes.
        seed: Of the order of equals, and of the bootstrap.

    Returns:
        At most `POINTS` points; the interval of each is never narrower than Wilson's.
    """
    sure, hits = np.asarray(confidence, np.float64), np.asarray(right, np.bool_)
    n = len(sure)
    order = np.lexsort((np.random.default_rng(seed).permutation(n), -sure))
    answered = np.unique(np.linspace(0, n, min(n, POINTS) + 1).round().astype(np.intp)[1:])
    units = number_units(groups, n)
    accuracy, area = _along(hits[order], np.ones((n, 1), np.float32), answered / n)
    drawn = [
        _along(hits[order], counts[order], answered / n) for counts in resamples(n, units, replicates=replicates, seed=seed, width=4 * n)
    ]
    drawers = n if units is None else int(units.max()) + 1
    low, high = percentile_interval(np.concatenate([curve.T for curve, _ in drawn]), drawers)
    least = wilson(accuracy[:, 0], answered)
    ends = (float(end) for end in percentile_interval(np.concatenate([areas for _, areas in drawn]), drawers))
    return SelectiveCurve(answered / n, accuracy[:, 0], np.fmin(low, least[0]), np.fmax(high, least[1]), estimate(float(area[0]), *ends))


def _along(hits: NDArray[np.bool_], counts: NDArray[np.float32], shares: Floats) -> tuple[Floats, Floats]:
    """Return accuracy (P, r) at each share and the area (r,), of images in the order of confidence, drawn ``counts`` (N, r) times."""
    seen = np.cumsum(counts, axis=0, dtype=np.float64)
    right = np.cumsum(counts * hits[:, None], axis=0, dtype=np.float64)
    accuracy = right / np.maximum(seen, 1)
    total = seen[-1]
    rows = np.stack([np.searchsorted(column, shares * column[-1] - 1e-9) for column in seen.T], axis=1)
    return np.take_along_axis(accuracy, rows, axis=0), (accuracy * counts).sum(axis=0) / total


def share_at(curve: SelectiveCurve, share: float) -> tuple[float, float, float]:
    """Return the accuracy and the ends of its interval at the point nearest to a share."""
    place = int(np.abs(curve.shares - share).argmin())
    return float(curve.accuracy[place]), float(curve.low[place]), float(curve.high[place])


def confidence_for(confidence: ArrayLike, share: float) -> float:
    """Return the confidence from which on about a share of images is answered; chosen on images that are not judged."""
    values: Ints | Floats = np.asarray(confidence, np.float64)
    return float(np.quantile(values, 1 - share, method="inverted_cdf"))
